package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"resslt/augment"
	"resslt/cmd/internal/pipeline"
	"resslt/ingest"
	"resslt/schemas/errs"
	"resslt/train/eval"
	"resslt/train/torch"
)

// keptFeatures is the file that holds a split's features in the --cache folder,
// named after all that they depend on. Without a folder it keeps nothing.
type keptFeatures struct {
	path string
	meta map[string]string
}

func (e *evaluation) keptFeatures(m *ingest.Manifest, hold pipeline.HoldOut) keptFeatures {
	if e.cache == "" {
		return keptFeatures{}
	}
	of := map[string]any{
		"encoder": e.result.Encoder.SHA256, "data": m.Digest(), "max_images": e.most, "engine": pipeline.ImageEngine(m).Name(),
		"image_size": e.enc.info.ImageSize, "crop": e.enc.view.Fraction, "mean": e.enc.info.Mean, "std": e.enc.info.Std,
	}
	if e.enc.view.Filter != augment.Bilinear { // which earlier builds took always
		of["filter"] = e.enc.view.Filter
	}
	if hold.Every > 0 {
		of["hold_out"], of["held"] = hold.Every, hold.Held
	}
	on, _ := json.Marshal(of) // strings and numbers: cannot fail
	sum := sha256.Sum256(on)
	return keptFeatures{
		path: filepath.Join(e.cache, fmt.Sprintf("%s-%s-%s.safetensors", m.Format, m.Split, hex.EncodeToString(sum[:8]))),
		meta: map[string]string{"resslt_features": string(on)},
	}
}

// read gives the kept features, or nil where there are none.
func (k keptFeatures) read(device torch.Device, dim int) (*eval.Set, error) {
	if k.path == "" {
		return nil, nil
	}
	s, err := eval.Read(k.path, device)
	if errors.Is(err, errs.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if s.Dim != dim {
		s.Free()
		return nil, errs.New("read features", k.path, "delete the file", errs.Because(errs.ErrMismatch,
			fmt.Sprintf("its features have %d dimensions, the encoder's %d", s.Dim, dim)))
	}
	return s, nil
}

func (k keptFeatures) write(s *eval.Set) error {
	if k.path == "" {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(k.path), 0o755); err != nil {
		return errs.New("keep features", k.path, "give a --cache folder that can be written", errs.BecauseErr(errs.ErrUnavailable, err))
	}
	return s.Write(k.path, k.meta)
}
