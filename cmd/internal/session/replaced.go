package session

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"sync"

	"resslt/batcher/wire"
	"resslt/schemas/bounded"
	"resslt/schemas/durable"
	"resslt/schemas/errs"
	"resslt/train"
)

// replacedFile holds the replaced samples as of each kept checkpoint, so that a resumed run
// counts on from the checkpoint's step. A run without any has no such file.
const replacedFile = "replaced.json"

// Caps on what is held of a run's replaced samples.
const (
	maxTracked      = 10_000   // different samples; the others are only counted
	maxReplacedFile = 64 << 20 // bytes of replacedFile
)

// replaced counts the samples whose place another one took, over the whole run. It is a
// stream.Recorder; chunks come ahead of the steps that are trained, and count once theirs is.
type replaced struct {
	keep int // states to keep in the file

	mu      sync.Mutex
	pending map[int64]map[int][]train.Replaced // by step and chunk, of steps not trained yet; guarded by mu
	state   replacedState                      // guarded by mu
	samples map[int64]*train.Replaced          // guarded by mu
	states  []replacedState                    // what the file holds, oldest first; guarded by mu
}

// replacedState is the counts after so many steps.
type replacedState struct {
	Step    int64            `json:"step"`
	Total   int64            `json:"total"`
	Samples []train.Replaced `json:"samples"` // by number
}

func newReplaced(keep int) *replaced {
	return &replaced{keep: keep, pending: map[int64]map[int][]train.Replaced{}, samples: map[int64]*train.Replaced{}}
}

// Chunk notes a chunk's replaced rows. A chunk that comes again says the same.
func (r *replaced) Chunk(_ context.Context, c *wire.Chunk) error {
	var rows []train.Replaced
	for i, why := range c.Reasons {
		if why != "" {
			rows = append(rows, train.Replaced{Sample: c.Planned[i], Reason: why, Count: 1})
		}
	}
	if rows == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if c.Step < r.state.Step {
		return nil
	}
	if r.pending[c.Step] == nil {
		r.pending[c.Step] = map[int][]train.Replaced{}
	}
	r.pending[c.Step][c.Index] = rows
	return nil
}

// Step does nothing: a step that is handed out may never be trained.
func (r *replaced) Step(int64) error { return nil }

// trained counts what was replaced in the steps below step. It gives the first sample of the run, once.
func (r *replaced) trained(step int64) (first *train.Replaced) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.state.Total
	for _, s := range slices.Sorted(maps.Keys(r.pending)) {
		if s >= step {
			break
		}
		for _, c := range slices.Sorted(maps.Keys(r.pending[s])) {
			for _, row := range r.pending[s][c] {
				if first == nil {
					first = &row
				}
				r.add(row)
			}
		}
		delete(r.pending, s)
	}
	r.state.Step = step
	if before > 0 {
		return nil
	}
	return first
}

// add counts one; r.mu is held.
func (r *replaced) add(row train.Replaced) {
	r.state.Total += row.Count
	if have := r.samples[row.Sample]; have != nil {
		have.Count += row.Count
	} else if len(r.samples) < maxTracked {
		r.samples[row.Sample] = &row
	}
}

// list is the first replaced samples by number, how often any was replaced, and how many
// different ones were (maxTracked at most).
func (r *replaced) list(most int) (samples []train.Replaced, total, different int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sorted(most), r.state.Total, int64(len(r.samples))
}

// step is the number of steps that are counted.
func (r *replaced) step() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state.Step
}

// sorted is the samples by number; r.mu is held.
func (r *replaced) sorted(most int) []train.Replaced {
	var out []train.Replaced
	for _, s := range r.samples {
		out = append(out, *s)
	}
	slices.SortFunc(out, func(a, b train.Replaced) int { return cmp.Compare(a.Sample, b.Sample) })
	return out[:min(most, len(out))]
}

// save adds the counts so far to the folder's file. It is called before a checkpoint of the
// same step is written: a resume finds the counts of whatever checkpoint it starts from.
func (r *replaced) save(dir string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state.Total == 0 && len(r.states) == 0 {
		return nil
	}
	r.state.Samples = r.sorted(maxTracked)
	r.states = slices.DeleteFunc(r.states, func(s replacedState) bool { return s.Step >= r.state.Step })
	r.states = append(r.states, r.state)
	if n := len(r.states); n > r.keep {
		r.states = slices.Clone(r.states[n-r.keep:])
	}
	return durable.Replace(filepath.Join(dir, replacedFile), func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetIndent("", " ")
		return e.Encode(map[string]any{"version": 1, "states": r.states})
	})
}

// load continues from the counts of an earlier session at a step. Errors wrap ErrCorrupt or
// ErrUnavailable; without a file nothing was replaced.
func (r *replaced) load(dir string, step int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.state.Step = step
	path := filepath.Join(dir, replacedFile)
	f, err := bounded.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return folderError(path, err)
	}
	defer f.Close()
	var file struct {
		States []replacedState `json:"states"`
	}
	if err := json.NewDecoder(io.LimitReader(f, maxReplacedFile)).Decode(&file); err != nil {
		return errs.New("read replaced samples", path, "delete it: the counts then begin at the checkpoint", errs.BecauseErr(errs.ErrCorrupt, err))
	}
	for _, s := range file.States {
		if s.Step > step {
			break
		}
		r.states = append(r.states, s)
	}
	if n := len(r.states); n > 0 {
		last := r.states[n-1]
		for _, s := range last.Samples {
			r.add(s)
		}
		r.state.Total = last.Total
	}
	return nil
}
