package train

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"fmt"
	"io"

	"resslt/schemas/bounded"
	"resslt/schemas/errs"
	"resslt/train/backbone"
	"resslt/train/nn"
	"resslt/train/torch"
)

// Frozen names a teacher that does not move: a trained encoder from a file, of any
// architecture. Its embedding is its features, of unit length.
type Frozen struct {
	File string // as LoadEncoder takes it
	// Backbone, Width and Stem are for files that say nothing of their network and whose
	// shapes do not show it; "" and 0: what the file says, else ResNet-50 of width 64 with
	// ImageNet's stem.
	Backbone string
	Width    int
	Stem     string
}

// info is what the file, its shapes and the configuration say of the encoder, in this order.
func (f Frozen) info(mean, std [3]float64) (EncoderInfo, error) {
	info, known, err := EncoderMeta(f.File)
	if err != nil {
		return info, err
	}
	if !known {
		g, err := GuessEncoder(f.File)
		if err != nil {
			return info, err
		}
		base := EncoderInfo{Backbone: "resnet50", Width: 64, Stem: "imagenet", Mean: mean, Std: std}
		info = base.Guessed(g)
	}
	info.Backbone, info.Width, info.Stem = cmp.Or(f.Backbone, info.Backbone), cmp.Or(f.Width, info.Width), cmp.Or(f.Stem, info.Stem)
	return info, nil
}

// newFrozenTeacher loads the teacher that the configuration names. It stays in evaluation
// mode, normalises pixels as its file says, and is no part of a checkpoint; its file's digest
// is (teacher.state).
func newFrozenTeacher(c Config, p precision, parallel *dataParallel) (*teacher, error) {
	info, err := c.Frozen.info(c.Mean, c.Std)
	if err != nil {
		return nil, err
	}
	f, err := loadBackbone(c.Frozen.File, info, backbone.Config{Device: c.Device, ChannelsLast: c.ChannelsLast, Fused: c.Fused, Double: c.Double})
	if err != nil {
		return nil, err
	}
	t := &teacher{network: network{Encoder: &Encoder{Backbone: f, Projector: &nn.Sequential{}}, precision: p}, parallel: parallel}
	if err := t.freeze(c, info); err != nil {
		nn.Free(f)
		t.free()
		return nil, err
	}
	return t, nil
}

func (t *teacher) freeze(c Config, info EncoderInfo) (err error) {
	if d := t.Backbone.FeatureDim(); d != int64(c.Options.Dim) {
		return errs.New("frozen teacher", c.Frozen.File, fmt.Sprintf("set embedding_dim=%d", d),
			errs.Because(errs.ErrUsage, fmt.Sprintf("%s of width %d gives embeddings of %d, the student's have %d", info.Backbone, info.Width, d, c.Options.Dim)))
	}
	digest, err := fileDigest("read frozen teacher", c.Frozen.File)
	if err != nil {
		return err
	}
	return torch.Do(func() error {
		t.SetTraining(false)
		for _, p := range nn.Parameters(t) {
			p.Tensor.SetRequiresGrad(false)
		}
		t.digest = torch.FromUint8(digest, int64(len(digest))).Keep()
		t.ownPixels, err = nn.NewPixels(info.Mean, info.Std, nn.Builder{Device: c.Device, ChannelsLast: c.ChannelsLast, Double: c.Double})
		t.pixels = t.ownPixels
		return err
	})
}

// fileDigest is a file's SHA-256.
func fileDigest(op, path string) ([]byte, error) {
	f, err := bounded.Open(path)
	if err != nil {
		return nil, errs.New(op, path, "make the file readable", errs.BecauseErr(errs.ErrNotFound, err))
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return nil, errs.New(op, path, "make the file readable", errs.BecauseErr(errs.ErrUnavailable, err))
	}
	return h.Sum(nil), nil
}

// state is what a checkpoint has of the teacher: its weights where it moves, else the digest
// of its file, by which a resumed run knows that it has the same one.
func (t *teacher) state() []nn.Named {
	if t.digest != nil {
		return []nn.Named{{Name: "digest", Tensor: t.digest}}
	}
	return nn.StateDict(t)
}

// free releases what a frozen teacher has besides its network.
func (t *teacher) free() {
	t.digest.Free()
	if t.ownPixels != nil {
		t.ownPixels.Free()
	}
}

// sameTeacher reports whether the teacher's file is the checkpoint's; values are its tensors.
func (t *teacher) sameTeacher(values map[string]*torch.Tensor) error {
	if t == nil || t.digest == nil {
		return nil
	}
	was, ok := values["teacher.digest"]
	if !ok || !bytes.Equal(was.Bytes(), t.digest.Bytes()) {
		return errs.New("load state", "teacher", "name the file that the run began with, teacher=FILE",
			errs.Because(errs.ErrMismatch, "the frozen teacher's file has another digest than the checkpoint's"))
	}
	return nil
}
