package record

import (
	"context"
	"fmt"
	"slices"

	"resslt/batcher/runs"
	"resslt/batcher/wire"
	"resslt/schemas"
)

// Report says what a ledger found. Problems is empty where every step that should be there
// is there once, as the run's order has it.
type Report struct {
	RunDigest     string `json:"run_digest"`
	Steps         int64  `json:"steps"` // of the whole run
	StepsPerEpoch int64  `json:"steps_per_epoch"`
	BatchSize     int    `json:"batch_size"`
	Samples       int64  `json:"samples"` // of the data set
	From          int64  `json:"from"`    // first step that was looked for
	To            int64  `json:"to"`      // the one after the last

	StepsWhole  int64 `json:"steps_whole"`  // steps of which every chunk is there
	Visits      int64 `json:"visits"`       // slots of these and other chunks
	EpochsWhole int64 `json:"epochs_whole"` // epochs of which every step is there
	// Tail is how many samples an epoch leaves out: the data set is no multiple of the
	// batch, and the last, short batch is dropped.
	Tail int64 `json:"tail_samples"`

	Replaced   []Replacement `json:"replaced"`
	Tombstones []Tombstone   `json:"tombstones"`
	Missing    []Window      `json:"missing_steps"` // steps without all their chunks

	PixelChunks int64 `json:"pixel_chunks"` // chunks whose pixels are kept; each had its digest computed again
	Remade      int64 `json:"remade"`       // chunks made again from the data, whose digests were compared

	Problems []string `json:"problems"` // one line each; the first 100
	Found    int64    `json:"problems_found"`
}

// Replacement is a slot whose planned sample could not be decoded.
type Replacement struct {
	Step    int64  `json:"step"`
	Slot    int32  `json:"slot"`
	Planned int64  `json:"planned"`
	Sample  int64  `json:"sample"` // that stood in for it, and so was visited twice in the epoch
	Reason  string `json:"reason"`
}

// Tombstone is a chunk that could not be made.
type Tombstone struct {
	Step   int64  `json:"step"`
	Chunk  int    `json:"chunk"`
	Reason string `json:"reason"`
	Made   bool   `json:"made"` // later, and then trained on
}

const maxProblems = 100

// Ledger adds up chunks, of a log or with their pixels, in any order. What it keeps grows
// with what it is given, never with what a spec claims.
type Ledger struct {
	spec   *schemas.RunSpec
	order  wire.Order
	report Report
	steps  map[int64]*visited
	epochs map[int64]*epoch
}

// visited are the chunks of a step that were seen.
type visited struct {
	chunks map[int]string // digests; nil when the step is whole
}

// epoch are the samples that an epoch planned, as far as it is not whole.
type epoch struct {
	planned []int64
	whole   int64 // steps
}

// NewLedger begins a ledger of the run over the given steps.
func NewLedger(spec *schemas.RunSpec, order wire.Order, steps Window) *Ledger {
	l := &Ledger{spec: spec, order: order, steps: map[int64]*visited{}, epochs: map[int64]*epoch{}}
	l.report = Report{
		RunDigest: spec.Digest(), Steps: spec.Steps(), StepsPerEpoch: spec.StepsPerEpoch, BatchSize: spec.BatchSize, Samples: spec.Dataset.Samples,
		From: steps.From, To: min(steps.To, spec.Steps()), Tail: spec.Dataset.Samples - spec.StepsPerEpoch*int64(spec.BatchSize),
		Replaced: []Replacement{}, Tombstones: []Tombstone{}, Missing: []Window{}, Problems: []string{},
	}
	return l
}

// Problem notes what is wrong.
func (l *Ledger) Problem(format string, a ...any) {
	l.report.Found++
	if len(l.report.Problems) < maxProblems {
		l.report.Problems = append(l.report.Problems, fmt.Sprintf(format, a...))
	}
}

// Add takes in a chunk, which must have been checked against the spec.
func (l *Ledger) Add(c *wire.Chunk) {
	if c.Step < l.report.From || c.Step >= l.report.To {
		return
	}
	if c.Tombstone != "" {
		l.report.Tombstones = append(l.report.Tombstones, Tombstone{Step: c.Step, Chunk: c.Index, Reason: c.Tombstone})
		return
	}
	s := l.steps[c.Step]
	if s == nil {
		s = &visited{chunks: map[int]string{}}
		l.steps[c.Step] = s
	}
	if was, twice := s.chunks[c.Index]; twice || s.chunks == nil {
		same := "equal digests"
		if twice && was != c.Digest {
			same = fmt.Sprintf("digests %.12s and %.12s", was, c.Digest)
		}
		l.Problem("chunk %d of step %d was recorded twice (%s)", c.Index, c.Step, same)
		return
	}
	s.chunks[c.Index] = c.Digest
	l.visit(c)
	if len(s.chunks) == l.spec.Chunks() {
		s.chunks = nil
		l.report.StepsWhole++
		l.closeStep(c.Step / l.spec.StepsPerEpoch)
	}
}

// visit enters a chunk's rows.
func (l *Ledger) visit(c *wire.Chunk) {
	at := c.Step / l.spec.StepsPerEpoch
	e := l.epochs[at]
	if e == nil {
		e = &epoch{}
		l.epochs[at] = e
	}
	for i, row := range wire.NewTask(l.spec, l.order, c.Step, c.Index).Rows {
		l.report.Visits++
		e.planned = append(e.planned, c.Planned[i])
		if c.Planned[i] != row.Sample {
			l.Problem("slot %d of step %d planned sample %d, the run's order has %d there", row.Slot, c.Step, c.Planned[i], row.Sample)
		}
		if c.Reasons[i] != "" {
			l.report.Replaced = append(l.report.Replaced, Replacement{c.Step, row.Slot, c.Planned[i], c.Samples[i], c.Reasons[i]})
		}
	}
}

// closeStep counts a whole step; with the last of its epoch, the epoch's samples must be
// all different.
func (l *Ledger) closeStep(at int64) {
	e := l.epochs[at]
	if e.whole++; e.whole < l.spec.StepsPerEpoch {
		return
	}
	l.checkEpoch(at, e)
	l.report.EpochsWhole++
	delete(l.epochs, at)
}

// checkEpoch sees that no sample is planned twice in an epoch.
func (l *Ledger) checkEpoch(at int64, e *epoch) {
	slices.Sort(e.planned)
	for i := 1; i < len(e.planned); i++ {
		if e.planned[i] == e.planned[i-1] {
			l.Problem("sample %d was visited twice in epoch %d", e.planned[i], at)
		}
	}
}

// Report closes the ledger. Where complete, every step of the window must be there; else
// the steps up to the last that is.
func (l *Ledger) Report(complete bool) *Report {
	r := &l.report
	for at, e := range l.epochs {
		l.checkEpoch(at, e)
	}
	end := r.From
	for step := range l.steps {
		end = max(end, step+1)
	}
	if !complete {
		r.To = end
	}
	l.missing()
	for _, w := range r.Missing {
		l.Problem("missing: %s", w)
	}
	for i := range r.Tombstones {
		t := &r.Tombstones[i]
		s := l.steps[t.Step]
		t.Made = s != nil && (s.chunks == nil || s.chunks[t.Chunk] != "")
	}
	return r
}

// missing finds the steps of the window that are not whole.
func (l *Ledger) missing() {
	whole := make([]int64, 0, len(l.steps))
	for step, s := range l.steps {
		if s.chunks == nil {
			whole = append(whole, step)
		}
	}
	slices.Sort(whole)
	next := l.report.From
	for _, step := range append(whole, l.report.To) {
		if step > next {
			l.report.Missing = append(l.report.Missing, Window{next, step})
		}
		next = step + 1
	}
}

// AddFolder takes in a record: its log, where it has one, and every chunk with pixels,
// whose digest is computed again and compared with the log's.
func (l *Ledger) AddFolder(ctx context.Context, r *Folder) error {
	if err := r.eachLogged(func(c *wire.Chunk) error {
		l.Add(c)
		return ctx.Err()
	}, func(error) bool { return false }); err != nil {
		return err
	}
	seen := map[chunkID]bool{}
	for _, f := range r.Files {
		if !f.Pixels {
			continue
		}
		if err := f.Each(func(c *wire.Chunk) error {
			if c.Step < l.report.From || c.Step >= l.report.To {
				return ctx.Err()
			}
			at := chunkID{c.Step, c.Index}
			if seen[at] {
				l.Problem("the pixels of chunk %d of step %d were recorded twice", c.Index, c.Step)
			}
			seen[at] = true
			l.report.PixelChunks++
			if err := r.checkPixels(f, c); err != nil {
				l.Problem("%v", err)
			}
			if len(r.log) == 0 {
				l.Add(c)
			} else if was, err := r.Logged(c.Step, c.Index); err == nil && was.Digest != c.Digest {
				l.Problem("chunk %d of step %d has digest %.12s in the log, %.12s with its pixels", c.Index, c.Step, was.Digest, c.Digest)
			}
			return ctx.Err()
		}); err != nil {
			return err
		}
	}
	return nil
}

// AddStored takes in what a broker keeps of a run.
func (l *Ledger) AddStored(ctx context.Context, s *runs.Stored) error {
	steps, _, err := s.Steps(ctx)
	if err != nil {
		return err
	}
	for _, step := range sortedSteps(steps) {
		if step < l.report.From || step >= l.report.To {
			continue
		}
		for index := range l.spec.Chunks() {
			c, err := s.Chunk(ctx, step, index)
			if isDamage(err) {
				l.Problem("%v", err)
				continue
			}
			if err != nil {
				return err
			}
			if c.Tombstone == "" {
				l.report.PixelChunks++
			}
			l.Add(c)
		}
	}
	return nil
}
