package online

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"resslt/cmd/internal/figure"
	"resslt/schemas/bounded"
	"resslt/schemas/durable"
	"resslt/schemas/errs"
)

// NeighboursFolder holds, in a run's folder, a file of neighbours for each score.
const NeighboursFolder = "neighbours"

// Neighbours are the nearest images of a few queries, by the encoder after Step steps.
type Neighbours struct {
	Step  int64            `json:"step"`
	Epoch int64            `json:"epoch"`
	Rows  []figure.KeptRow `json:"rows"`
}

// maxNeighbours bounds a file, bytes.
const maxNeighbours = 4 << 20

func neighboursFile(out string, step int64) string {
	return filepath.Join(out, NeighboursFolder, fmt.Sprintf("step-%08d.json", step))
}

// NeighbourSteps are the steps whose neighbours a run has kept, oldest first; none where it has
// none.
func NeighbourSteps(out string) (steps []int64, err error) {
	entries, err := os.ReadDir(filepath.Join(out, NeighboursFolder))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, durable.Error(out, err)
	}
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".json")
		if step, err := strconv.ParseInt(strings.TrimPrefix(name, "step-"), 10, 64); ok && err == nil && e.Type().IsRegular() {
			steps = append(steps, step)
		}
	}
	slices.SortFunc(steps, cmp.Compare)
	return steps, nil
}

// ReadNeighbours reads what was kept at a step. It returns ErrNotFound, or ErrCorrupt.
func ReadNeighbours(out string, step int64) (n *Neighbours, err error) {
	path := neighboursFile(out, step)
	raw, err := bounded.ReadFile(path, maxNeighbours)
	if err != nil {
		return nil, errs.New("read neighbours", path, "choose another step", errs.BecauseErr(errs.ErrNotFound, err))
	}
	if err := bounded.JSON(raw, &n); err != nil || n == nil {
		return nil, errs.New("read neighbours", path, "delete the file", errs.BecauseErr(errs.ErrCorrupt, err))
	}
	return n, nil
}

// keepNeighbours keeps what the score's process has written to file, where it could.
func (e *Evaluator) keepNeighbours(s *Scores, file string) error {
	raw, err := bounded.ReadFile(file, maxNeighbours)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // images of several classes, say
	}
	n := Neighbours{Step: s.Step, Epoch: s.Epoch}
	if err == nil {
		err = bounded.JSON(raw, &n.Rows)
	}
	if err == nil {
		err = os.MkdirAll(filepath.Join(e.Out, NeighboursFolder), 0o755)
	}
	if err == nil {
		err = durable.Replace(neighboursFile(e.Out, s.Step), func(w io.Writer) error { return json.NewEncoder(w).Encode(&n) })
	}
	if err != nil {
		return errs.New("keep neighbours", e.Out, "free some space", errs.BecauseErr(errs.ErrUnavailable, err))
	}
	return os.Remove(file)
}

// dropNeighbours removes those of steps after from, which are trained again.
func dropNeighbours(out string, from int64) error {
	steps, err := NeighbourSteps(out)
	for _, step := range steps {
		if step > from {
			err = errors.Join(err, os.Remove(neighboursFile(out, step)))
		}
	}
	return err
}
