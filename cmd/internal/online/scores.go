package online

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"resslt/cmd/internal/tensorboard"
	"resslt/schemas/bounded"
	"resslt/schemas/durable"
	"resslt/schemas/errs"
	"resslt/train/recipe"
)

// Files of a run's scores, one JSON object a line, oldest first.
const (
	KNNFile    = "knn.jsonl"
	LinearFile = "linear.jsonl"
)

// files are those of each probe.
var files = map[string]string{recipe.KNNProbe: KNNFile, recipe.LinearProbe: LinearFile}

// Scores are those of the encoder after Step steps. A line of a file has one probe's.
type Scores struct {
	Step       int64              `json:"step"`
	Epoch      int64              `json:"epoch"`
	KNN        map[string]float64 `json:"knn_top1,omitempty"` // percent, by "k200"
	LinearTop1 *float64           `json:"linear_top1,omitempty"`
	LinearTop5 *float64           `json:"linear_top5,omitempty"`
	Seconds    float64            `json:"seconds"`     // that they took
	CPUSeconds float64            `json:"cpu_seconds"` // of all cores
}

// Ks are the keys of KNN, the smallest number of neighbours first.
func (s *Scores) Ks() []string {
	return slices.SortedFunc(maps.Keys(s.KNN), func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) })
}

// Scalars are the scores with their tags in TensorBoard and elsewhere.
func (s *Scores) Scalars() (out []tensorboard.Scalar) {
	for _, k := range s.Ks() {
		out = append(out, tensorboard.Scalar{Tag: "knn/top1_" + k, Value: s.KNN[k]})
	}
	for tag, v := range s.linear() {
		out = append(out, tensorboard.Scalar{Tag: "linear/" + tag, Value: v})
	}
	return out
}

// linear yields the linear probe's scores by name.
func (s *Scores) linear() func(func(string, float64) bool) {
	return func(yield func(string, float64) bool) {
		if s.LinearTop1 != nil && !yield("top1", *s.LinearTop1) {
			return
		}
		if s.LinearTop5 != nil {
			yield("top5", *s.LinearTop5)
		}
	}
}

// String is a line for people: "after epoch 5: kNN top-1 k20 61.30 %, k200 58.12 %".
func (s *Scores) String() string {
	var parts []string
	for i, k := range s.Ks() {
		name := k
		if i == 0 {
			name = "kNN top-1 " + k
		}
		parts = append(parts, fmt.Sprintf("%s %.2f %%", name, s.KNN[k]))
	}
	if s.LinearTop1 != nil {
		parts = append(parts, fmt.Sprintf("linear top-1 %.2f %%", *s.LinearTop1))
	}
	return fmt.Sprintf("after epoch %d: %s", s.Epoch, strings.Join(parts, ", "))
}

// maxBytes bounds a file of scores, which has some 100 bytes for each.
const maxBytes = 64 << 20

// Read reads the scores in a run's folder, oldest first, those of one step together; none where
// there is no file.
func Read(out string) (scores []Scores, err error) {
	knn, err := ReadFile(out, KNNFile)
	if err != nil {
		return nil, err
	}
	linear, err := ReadFile(out, LinearFile)
	if err != nil {
		return nil, err
	}
	scores = slices.Concat(knn, linear)
	slices.SortStableFunc(scores, func(a, b Scores) int { return cmp.Compare(a.Step, b.Step) })
	merged := scores[:0]
	for _, s := range scores {
		if n := len(merged); n > 0 && merged[n-1].Step == s.Step && merged[n-1].LinearTop1 == nil && s.KNN == nil {
			m := &merged[n-1]
			m.LinearTop1, m.LinearTop5 = s.LinearTop1, s.LinearTop5
			m.Seconds, m.CPUSeconds = m.Seconds+s.Seconds, m.CPUSeconds+s.CPUSeconds
			continue
		}
		merged = append(merged, s)
	}
	return merged, nil
}

// ReadFile reads one of the files of a run's scores, oldest first; none where there is no file.
func ReadFile(out, name string) (lines []Scores, err error) {
	path := filepath.Join(out, name)
	raw, err := bounded.ReadFile(path, maxBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, errs.New("read", path, "make it readable", errs.BecauseErr(errs.ErrUnavailable, err))
	}
	for row := range bytes.Lines(raw) {
		var l Scores
		if json.Unmarshal(row, &l) != nil {
			break // the last line of a process that was killed
		}
		lines = append(lines, l)
	}
	return lines, nil
}

// rewrite replaces a file of scores, or leaves none where there are no scores.
func rewrite(out, name string, lines []Scores) error {
	path := filepath.Join(out, name)
	return durable.Replace(path, func(w io.Writer) error {
		e := json.NewEncoder(w)
		for _, l := range lines {
			if err := e.Encode(l); err != nil {
				return err
			}
		}
		return nil
	})
}

// cut keeps the lines of steps up to one.
func cut(out, name string, step int64) error {
	lines, err := ReadFile(out, name)
	if err != nil || len(lines) == 0 {
		return err
	}
	return rewrite(out, name, slices.DeleteFunc(lines, func(l Scores) bool { return l.Step > step }))
}

// add appends a line, in the place of one of the same step or of a later one.
func add(out, name string, s Scores) error {
	lines, err := ReadFile(out, name)
	if err != nil {
		return err
	}
	lines = slices.DeleteFunc(lines, func(l Scores) bool { return l.Step >= s.Step })
	return rewrite(out, name, append(lines, s))
}
