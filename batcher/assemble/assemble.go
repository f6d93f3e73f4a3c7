package assemble

import (
	"fmt"
	"sync"

	"resslt/batcher/wire"
	"resslt/schemas"
	"resslt/schemas/errs"
)

// Assembler puts chunks together to batches. It knows no network. It is safe for
// concurrent use; in a Stream one goroutine adds and another takes.
type Assembler struct {
	spec     *schemas.RunSpec
	opts     Options
	from, to int    // rows of a batch that are kept
	wanted   []bool // chunks that a batch waits for, by index
	wants    int    // their number

	mu    sync.Mutex
	steps map[int64]*building // guarded by mu
	floor int64               // steps below are not wanted any more; guarded by mu
	free  []*buffers          // guarded by mu
}

// building is a step of which chunks have come.
type building struct {
	buf       *buffers
	have      int
	come      []bool   // one a chunk
	digests   []string // one a chunk; "" also where nobody asked for it
	tombstone string   // of a chunk that could not be made
	lost      int      // which
}

// buffers are the recycled parts of a batch.
type buffers struct {
	pixels   [][]byte   // one a view, (B,S,S,3): the room's, or own
	own      [][]byte   // of the assembler; nil until they are needed
	roomy    bool       // pixels are the room's
	samples  []int64    // (B)
	labels   []int32    // (B)
	planned  []int64    // (B)
	reasons  []string   // (B), "" where the slot holds the planned sample
	plans    [][][]byte // one a view, (B); nil where they are not asked for
	replaced int
}

// Options say which batches an assembler makes.
type Options struct {
	From int64 // it takes no step below
	Part Part  // the rows that a batch has
	All  bool  // a batch waits for every chunk of its step, not the part's alone
	// Plans has batches carry what was drawn of each row.
	Plans bool
	// Room, if set, has the pixels of batches written to where their reader wants them.
	Room Room
}

// Room is memory for the pixels of some batches. It is called with the assembler's lock held,
// and must not wait.
type Room interface {
	// Take gives a buffer for each view of a batch's rows, nil where none is free: then the
	// assembler uses memory of its own.
	Take() [][]byte
	// Give takes back what Take gave, when the batch is released or never made.
	Give(pixels [][]byte)
}

// New makes an assembler of the run's batches.
func New(spec *schemas.RunSpec, o Options) *Assembler {
	a := &Assembler{spec: spec, opts: o, steps: map[int64]*building{}, floor: o.From, wanted: make([]bool, spec.Chunks())}
	a.from, a.to = o.Part.Rows(spec.BatchSize)
	for c := range a.wanted {
		lo, hi := spec.ChunkRange(c)
		if a.wanted[c] = o.All || lo < a.to && hi > a.from; a.wanted[c] {
			a.wants++
		}
	}
	return a
}

// Add copies a decoded chunk into its batch. It says false for a chunk that is
// not wanted: its step was taken, or the chunk is there with the same digest. It
// returns ErrDeterminism where it is there with another digest, ErrCorrupt for a
// step or chunk outside the run.
func (a *Assembler) Add(c *wire.Chunk) (bool, error) {
	if c.Step < 0 || c.Step >= a.spec.Steps() || c.Index < 0 || c.Index >= a.spec.Chunks() {
		return false, errs.New("assemble", fmt.Sprintf("chunk %d of step %d", c.Index, c.Step), "see who publishes to this run",
			errs.Because(errs.ErrCorrupt, "the run has no such chunk"))
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if c.Step < a.floor || !a.wanted[c.Index] {
		return false, nil
	}
	b := a.steps[c.Step]
	if b == nil {
		b = &building{come: make([]bool, a.spec.Chunks()), digests: make([]string, a.spec.Chunks())}
		a.steps[c.Step] = b
	}
	if b.come[c.Index] {
		if have := b.digests[c.Index]; have != c.Digest && c.Tombstone == "" {
			// (A tombstone of what is here already reports a worker's trouble
			// after the broker lost the chunk; it contradicts nothing.)
			return false, errs.New("assemble", fmt.Sprintf("chunk %d of step %d", c.Index, c.Step),
				"run the same build of the worker on every machine",
				errs.Because(errs.ErrDeterminism, fmt.Sprintf("it came with digest %.12s and with %.12s", have, c.Digest)))
		}
		return false, nil
	}
	b.come[c.Index], b.digests[c.Index] = true, c.Digest
	b.have++
	if c.Tombstone != "" {
		b.tombstone, b.lost = c.Tombstone, c.Index
		return true, nil
	}
	if b.buf == nil {
		b.buf = a.take()
	}
	b.buf.put(a, c)
	return true, nil
}

// Ready reports whether Take has something for the step: all chunks, or a tombstone.
func (a *Assembler) Ready(step int64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	b := a.steps[step]
	return b != nil && (b.have == a.wants || b.tombstone != "")
}

// Missing lists the chunks of the step that have not come.
func (a *Assembler) Missing(step int64) []int {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []int
	b := a.steps[step]
	for c := range a.spec.Chunks() {
		if a.wanted[c] && (b == nil || !b.come[c]) {
			out = append(out, c)
		}
	}
	return out
}

// Complete is the number of steps from step on, without a gap, that are ready.
func (a *Assembler) Complete(step int64) int64 {
	n := int64(0)
	for a.Ready(step + n) {
		n++
	}
	return n
}

// Take gives the batch of a step, nil where it is not ready, and wants no chunk of
// this step or an earlier one from then on. The batch's Release recycles its
// buffers. It returns ErrTombstone where a chunk could not be made, or a sample
// was replaced and the run's policy is to fail.
func (a *Assembler) Take(step int64) (*schemas.Batch, error) {
	if !a.Ready(step) {
		return nil, nil
	}
	a.mu.Lock()
	b := a.steps[step]
	delete(a.steps, step)
	a.mu.Unlock()
	a.dropBelow(step + 1)
	if b.tombstone != "" {
		a.give(b.buf)
		return nil, errs.Tombstone("batch", fmt.Sprintf("step %d, chunk %d", step, b.lost), b.tombstone, ", then resume")
	}
	batch := b.buf.batch(a, step)
	if batch.Replaced > 0 && a.spec.OnError == schemas.Fail {
		why := batch.Reasons[0]
		a.give(b.buf)
		return nil, errs.New("batch", fmt.Sprintf("step %d", step), "fix the data, or set on_error to replace",
			errs.Because(errs.ErrTombstone, fmt.Sprintf("%d samples could not be decoded; the first: %s", batch.Replaced, why)))
	}
	batch.OnRelease(func() { a.give(b.buf) })
	return batch, nil
}

// dropBelow forgets the chunks of steps below step and takes no more of them.
func (a *Assembler) dropBelow(step int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.floor = max(a.floor, step)
	for s, b := range a.steps {
		if s < a.floor {
			delete(a.steps, s)
			a.recycle(b.buf)
		}
	}
}

// take gives buffers for one batch; a.mu is held.
func (a *Assembler) take() *buffers {
	var b *buffers
	if n := len(a.free); n > 0 {
		b = a.free[n-1]
		a.free = a.free[:n-1]
		clear(b.reasons)
		b.replaced = 0
	} else {
		b = newBuffers(a.spec, a.to-a.from, a.opts.Plans)
	}
	if a.opts.Room != nil {
		b.pixels = a.opts.Room.Take()
	}
	if b.roomy = b.pixels != nil; !b.roomy {
		b.pixels = b.ownPixels(a.spec)
	}
	return b
}

// freeBuffers bounds the buffers that are kept for later.
const freeBuffers = 4

// give takes back the buffers of a batch, nil for none.
func (a *Assembler) give(b *buffers) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.recycle(b)
}

// recycle does the same; a.mu is held.
func (a *Assembler) recycle(b *buffers) {
	if b == nil {
		return
	}
	if b.roomy {
		a.opts.Room.Give(b.pixels)
	}
	b.pixels, b.roomy = nil, false
	if len(a.free) < freeBuffers {
		a.free = append(a.free, b)
	}
}

// newBuffers makes room for n rows, but for their pixels.
func newBuffers(spec *schemas.RunSpec, n int, plans bool) *buffers {
	b := &buffers{samples: make([]int64, n), labels: make([]int32, n), planned: make([]int64, n), reasons: make([]string, n)}
	if plans {
		b.plans = make([][][]byte, len(spec.Views))
		for v := range b.plans {
			b.plans[v] = make([][]byte, n)
		}
	}
	return b
}

// ownPixels are the buffers' own pixels, made when they are first needed.
func (b *buffers) ownPixels(spec *schemas.RunSpec) [][]byte {
	if b.own == nil {
		b.own = make([][]byte, len(spec.Views))
		for v, view := range spec.Views {
			b.own[v] = make([]byte, len(b.samples)*view.Bytes())
		}
	}
	return b.own
}

// put copies those of a chunk's rows that are kept to their slots.
func (b *buffers) put(a *Assembler, c *wire.Chunk) {
	first, end := a.spec.ChunkRange(c.Index)
	lo, hi := max(first, a.from), min(end, a.to)
	if lo >= hi {
		return
	}
	at, of := lo-a.from, lo-first // where they go, and come from
	end = hi - first
	copy(b.samples[at:], c.Samples[of:end])
	copy(b.labels[at:], c.Labels[of:end])
	copy(b.planned[at:], c.Planned[of:end])
	copy(b.reasons[at:], c.Reasons[of:end])
	for _, r := range c.Reasons[of:end] {
		if r != "" {
			b.replaced++
		}
	}
	for v, view := range a.spec.Views {
		copy(b.pixels[v][at*view.Bytes():], c.Pixels[v][of*view.Bytes():end*view.Bytes()])
	}
	for v, rows := range b.plans {
		for i, plan := range c.Plans[v][of:end] {
			rows[at+i] = append(rows[at+i][:0], plan...)
		}
	}
}

// batch shows the buffers as a batch.
func (b *buffers) batch(a *Assembler, step int64) *schemas.Batch {
	batch := &schemas.Batch{
		Step: step, Epoch: step / a.spec.StepsPerEpoch, Size: len(b.samples),
		Views: a.spec.Views, Pixels: b.pixels, Samples: b.samples, Labels: b.labels,
		Planned: b.planned, Why: b.reasons, Plans: b.plans, Replaced: b.replaced,
	}
	for i, r := range b.reasons {
		if r != "" {
			batch.Reasons = append(batch.Reasons, fmt.Sprintf("slot %d: sample %d for %d: %s", a.from+i, b.samples[i], b.planned[i], r))
		}
	}
	return batch
}
