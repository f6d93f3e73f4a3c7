package eval

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"

	"resslt/schemas/durable"
	"resslt/schemas/errs"
)

// ReportFile is the name under which evaluations are kept beside the encoder.
const ReportFile = "eval.json"

// Report is eval.json: every evaluation of the encoders of a folder, oldest
// first. Running one again, with the same encoder, data and settings, takes the
// place of the older result.
type Report struct {
	Version int      `json:"version"` // 1
	Results []Result `json:"results"`
}

// Result is one evaluation.
type Result struct {
	Protocol string `json:"protocol"` // the verb: knn, linear, semi, transfer, lowshot, neighbours, tsne
	Time     string `json:"time"`     // RFC 3339, when it ended

	Encoder  Encoder        `json:"encoder"`
	Data     string         `json:"data"`               // scheme of the data set: cifar10, folder
	Splits   []Split        `json:"splits"`             // fitted on, chosen on where there is one, scored on
	Settings map[string]any `json:"settings"`           // the protocol's options, as resolved
	Scores   []Score        `json:"scores"`             // in order of weight
	Pictures []string       `json:"pictures,omitempty"` // files, relative to the folder of eval.json
	Seconds  float64        `json:"seconds"`            // without features that were kept
}

// Encoder says whose features were scored.
type Encoder struct {
	Backbone   string `json:"backbone"`
	Width      int    `json:"width"`
	Stem       string `json:"stem"`
	ImageSize  int    `json:"image_size"`
	FeatureDim int    `json:"feature_dim"`
	File       string `json:"file,omitempty"` // relative to the folder of eval.json
	SHA256     string `json:"sha256"`         // over the tensors' bytes in order of key
	Untrained  bool   `json:"untrained"`      // the weights are initial ones, of Settings' seed
}

// Split is one part of a data set.
type Split struct {
	Role   string `json:"role"` // fit, validate, score
	Name   string `json:"name"` // train, test
	Images int    `json:"images"`
	Digest string `json:"digest,omitempty"` // of the manifest
}

// Score is one figure.
type Score struct {
	Name  string   `json:"name"`            // top1, knn_top1_k20, map11_k4
	Label string   `json:"label"`           // for people
	Value float64  `json:"value"`           // percent, except where the label says otherwise
	Std   *float64 `json:"std,omitempty"`   // over draws, of the population
	N     int      `json:"n,omitempty"`     // draws
	Paper *Figure  `json:"paper,omitempty"` // the figure of the paper, where it has one
}

// Figure is a published figure.
type Figure struct {
	Value  float64 `json:"value"`
	Source string  `json:"source"` // table, method and backbone
}

// reportVersion of the file's schema.
const reportVersion = 1

// ReadReport reads eval.json of a folder; without the file it is empty. Errors
// wrap errs.ErrCorrupt, or ErrMismatch for another version.
func ReadReport(dir string) (*Report, error) {
	path := filepath.Join(dir, ReportFile)
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &Report{Version: reportVersion}, nil
	}
	if err != nil {
		return nil, errs.New("read evaluations", path, "make it readable", errs.BecauseErr(errs.ErrUnavailable, err))
	}
	var r Report
	if err := json.Unmarshal(raw, &r); err != nil {
		return nil, errs.New("read evaluations", path, "move the file away", errs.BecauseErr(errs.ErrCorrupt, err))
	}
	if r.Version != reportVersion {
		return nil, errs.New("read evaluations", path, "use the resslt that wrote it, or move the file away",
			errs.Because(errs.ErrMismatch, fmt.Sprintf("it is of version %d, this build writes %d", r.Version, reportVersion)))
	}
	return &r, nil
}

// Append adds a result to eval.json of a folder, in one step on disk.
func Append(dir string, result Result) error {
	r, err := ReadReport(dir)
	if err != nil {
		return err
	}
	kept := r.Results[:0]
	for _, old := range r.Results {
		if !old.same(&result) {
			kept = append(kept, old)
		}
	}
	r.Results = append(kept, result)
	return durable.Replace(filepath.Join(dir, ReportFile), func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(r)
	})
}

// same tells whether both say how one encoder does on one thing.
func (r *Result) same(o *Result) bool {
	return r.Protocol == o.Protocol && r.Encoder.SHA256 == o.Encoder.SHA256 && r.Data == o.Data &&
		reflect.DeepEqual(r.Splits, o.Splits) && reflect.DeepEqual(canonical(r.Settings), canonical(o.Settings))
}

// canonical is settings as they come back from JSON, where every number is a
// float64.
func canonical(settings map[string]any) (out map[string]any) {
	raw, err := json.Marshal(settings)
	if err != nil || json.Unmarshal(raw, &out) != nil {
		return settings
	}
	return out
}
