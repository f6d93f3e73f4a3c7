package eval

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"reflect"

	"resslt/schemas"
	"resslt/schemas/bounded"
	"resslt/schemas/durable"
	"resslt/schemas/errs"
)

// ReportFile is the name of the file with the evaluations, in the encoder's folder.
const ReportFile = "eval.json"

// Report is eval.json: every evaluation of the encoders in a folder, oldest first. A
// result replaces an older one with the same encoder, data and settings.
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
	Splits   []Split        `json:"splits"`             // for fitting, for validation if there is one, for scoring
	Settings map[string]any `json:"settings"`           // the protocol's options, as resolved
	Scores   []Score        `json:"scores"`             // in order of weight
	Unlike   string         `json:"unlike,omitempty"`   // why the paper's figure is left out: what differs from its protocol
	Pictures []string       `json:"pictures,omitempty"` // files, relative to the folder of eval.json
	Seconds  float64        `json:"seconds"`            // without the time for cached features
}

// Encoder describes the encoder whose features were scored.
type Encoder struct {
	Backbone   string `json:"backbone"`
	Width      int    `json:"width"`
	Stem       string `json:"stem"`
	ImageSize  int    `json:"image_size"`
	FeatureDim int    `json:"feature_dim"`
	File       string `json:"file,omitempty"` // relative to the folder of eval.json
	SHA256     string `json:"sha256"`         // over the tensors' bytes in order of key
	Untrained  bool   `json:"untrained"`      // initial weights, from the seed in Settings

	// What it was trained by; empty where its file does not say.
	Recipe    string `json:"recipe,omitempty"`
	Objective string `json:"objective,omitempty"`
	Epochs    int    `json:"epochs,omitempty"`
}

// Split is one part of a data set.
type Split struct {
	Role   string `json:"role"` // fit, validate, score
	Name   string `json:"name"` // train, test
	Images int    `json:"images"`
	Digest string `json:"digest,omitempty"` // of the manifest

	PassedOver schemas.Survey `json:"passed_over,omitempty"` // by the data set's reader
	Skipped    []Skipped      `json:"skipped,omitempty"`     // the first images that cannot be decoded
	SkippedAll int64          `json:"skipped_count,omitempty"`
}

// Skipped is an image that cannot be decoded.
type Skipped struct {
	Sample int64  `json:"sample"`
	Key    string `json:"key"`
	Reason string `json:"reason"`
}

// Score is one figure.
type Score struct {
	Name  string   `json:"name"`            // top1, knn_top1_k20, map11_k4
	Label string   `json:"label"`           // for human readers
	Value float64  `json:"value"`           // percent, unless the label says otherwise
	Std   *float64 `json:"std,omitempty"`   // over draws, of the population
	N     int      `json:"n,omitempty"`     // draws
	Paper *Figure  `json:"paper,omitempty"` // the paper's figure, if any
}

// Figure is a published figure.
type Figure struct {
	Value  float64 `json:"value"`
	Source string  `json:"source"` // table, method and backbone
}

// reportVersion is the version of the file's schema.
const reportVersion = 1

// maxReportBytes bounds the file: a result takes a few kB.
const maxReportBytes = 64 << 20

// ReadReport reads a folder's eval.json; without the file the report is empty. Errors
// wrap errs.ErrCorrupt, or ErrMismatch for another version.
func ReadReport(dir string) (*Report, error) {
	path := filepath.Join(dir, ReportFile)
	raw, err := bounded.ReadFile(path, maxReportBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return &Report{Version: reportVersion}, nil
	}
	if err != nil {
		return nil, errs.New("read evaluations", path, "make it readable", errs.BecauseErr(errs.ErrUnavailable, err))
	}
	var r Report
	if err := bounded.JSON(raw, &r); err != nil {
		return nil, errs.New("read evaluations", path, "move the file away", errs.BecauseErr(errs.ErrCorrupt, err))
	}
	if r.Version != reportVersion {
		return nil, errs.New("read evaluations", path, "use the resslt that wrote it, or move the file away",
			errs.Because(errs.ErrMismatch, fmt.Sprintf("it is of version %d, this build writes %d", r.Version, reportVersion)))
	}
	return &r, nil
}

// Append adds a result to a folder's eval.json, atomically.
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
	kept = append(kept, result)
	r.Results = kept
	return durable.Replace(filepath.Join(dir, ReportFile), func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(r)
	})
}

// same reports whether both results are of the same evaluation.
func (r *Result) same(o *Result) bool {
	return r.Protocol == o.Protocol && r.Encoder.SHA256 == o.Encoder.SHA256 && r.Data == o.Data &&
		reflect.DeepEqual(r.Splits, o.Splits) && reflect.DeepEqual(canonical(r.Settings), canonical(o.Settings))
}

// canonical is settings after a round trip through JSON, where every number is a
// float64.
func canonical(settings map[string]any) (out map[string]any) {
	raw, err := json.Marshal(settings)
	if err != nil || json.Unmarshal(raw, &out) != nil {
		return settings
	}
	return out
}
