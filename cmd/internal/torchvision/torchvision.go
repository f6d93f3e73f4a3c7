package torchvision

import (
	_ "embed"
	"encoding/json"
	"errors"
	"io/fs"
	"path/filepath"
	"strings"

	"resslt/cmd/internal/timm"
	"resslt/schemas/bounded"
	"resslt/schemas/durable"
	"resslt/schemas/errs"
	"resslt/train"
)

//go:embed load.py
var program string

// mark begins a load.py of ours, which the next export may replace.
var mark, _, _ = strings.Cut(program, "\n")

// Files are those beside the weights.
var Files = []string{"load.py", "preprocess.json"}

// maxProgram bounds what is read of a load.py that is there.
const maxProgram = 1 << 20

// preprocess is preprocess.json.
type preprocess struct {
	timm.Preprocess
	Timm timmData `json:"timm"`
}

// timmData is what timm.data.create_transform takes.
type timmData struct {
	InputSize     [3]int     `json:"input_size"`
	Interpolation string     `json:"interpolation"`
	CropPct       float64    `json:"crop_pct"`
	CropMode      string     `json:"crop_mode"`
	Mean          [3]float64 `json:"mean"`
	Std           [3]float64 `json:"std"`
}

// Check reports whether the files may be written beside the weights. A load.py that is another's
// is ErrUsage.
func Check(weights string) error {
	dir := filepath.Dir(weights)
	if err := durable.CheckIn(dir, Files...); err != nil {
		return err
	}
	path := filepath.Join(dir, Files[0])
	raw, err := bounded.ReadFile(path, maxProgram)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil || !strings.HasPrefix(string(raw), mark) {
		return errs.New("write", path, "export into a folder of its own", errs.Because(errs.ErrUsage, "there is a load.py that resslt has not written"))
	}
	return nil
}

// Write writes the files beside the weights of an encoder; crop is the side of the central square
// that it is given, of the shorter side.
func Write(weights string, info train.EncoderInfo, crop float64) error {
	p := preprocess{Preprocess: timm.PreprocessOf(info, crop)}
	p.Timm = timmData{
		InputSize: [3]int{3, info.ImageSize, info.ImageSize}, Interpolation: p.Interpolation, CropPct: crop, CropMode: "center", Mean: p.Mean, Std: p.Std,
	}
	text, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return errs.New("write", Files[1], "report this as a bug", errs.BecauseErr(errs.ErrUsage, err))
	}
	dir := filepath.Dir(weights)
	if err := durable.WriteFile(filepath.Join(dir, Files[1]), append(text, '\n')); err != nil {
		return err
	}
	// The name is a Python string in the file: JSON's quotes are Python's, too.
	name, err := json.Marshal(filepath.Base(weights))
	if err != nil {
		return errs.New("write", Files[0], "report this as a bug", errs.BecauseErr(errs.ErrUsage, err))
	}
	return durable.WriteFile(filepath.Join(dir, Files[0]), []byte(strings.ReplaceAll(program, `"WEIGHTS"`, string(name))))
}
