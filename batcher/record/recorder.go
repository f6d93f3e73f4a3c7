package record

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"resslt/batcher/wire"
	"resslt/schemas"
	"resslt/schemas/errs"
)

// Options say what is recorded, and where.
type Options struct {
	// Dir is the record's folder, made where it is missing. What it holds of the same
	// run is continued; one of another is refused.
	Dir string
	// Run is stored in every file.
	Run schemas.RunInfo
	// Order says which samples a tombstone stands for.
	Order wire.Order
	// From is the first step that is handed out now. What the log holds from there on
	// is compared with what comes.
	From int64
	// Pixels are the steps whose chunks are kept whole; none where it is empty.
	Pixels Window
	// Warn is told in a line of each file that was found damaged and set aside. Nil: nobody.
	Warn func(string)
	// SegmentBytes is the size at which a file is sealed and the next begun; default
	// 64 MiB of log, 1 GiB of pixels.
	SegmentBytes int64
}

// Defaults of SegmentBytes.
const (
	logSegment    = 64 << 20
	pixelsSegment = 1 << 30
	// batchRows is how many rows of the log make a batch: enough that its metadata,
	// some 1.5 KB, do not count.
	batchRows = 4096
)

// Validate reports whether the options can be used; it returns ErrUsage.
func (o Options) Validate() error {
	bad := func(where, why, hint string) error {
		return errs.New("record", where, hint, errs.Because(errs.ErrUsage, why))
	}
	switch {
	case o.Dir == "":
		return bad("folder", "is not named", "name one")
	case o.Order == nil:
		return bad("order", "is missing", "give the run's order")
	case o.From < 0 || o.SegmentBytes < 0:
		return bad("options", "a number is negative", "give 0 for the default, or more")
	case !o.Pixels.Empty() && (o.Pixels.From < 0 || o.Pixels.From >= o.Run.Spec.Steps()):
		return bad("pixels", fmt.Sprintf("of step %d, the run has %d", o.Pixels.From, o.Run.Spec.Steps()), "choose steps of the run")
	}
	return recordable(&o.Run.Spec)
}

// Recorder writes a run's record while it is trained: the recipe log, and the pixels of
// a window of steps. It is a batcher.Recorder.
type Recorder struct {
	opts Options
	spec *schemas.RunSpec

	mu      sync.Mutex
	pending map[int64][]*wire.Chunk // of steps that are not handed out yet, by chunk, without pixels; guarded by mu
	last    []*wire.Chunk           // of the step that was handed out last; guarded by mu
	next    int64                   // step that is handed out next; guarded by mu
	logged  []Window                // that the log has batches of; used by New
	lacking Lacking                 // what earlier sessions' files have not
	known   map[chunkID]string      // digests of the log's chunks from Options.From on; guarded by mu
	log     track                   // guarded by mu
	batch   rows                    // of the log, not yet written; guarded by mu

	pixMu  sync.Mutex
	stored map[chunkID]string // digests of chunks whose pixels are kept, from Options.From on; guarded by pixMu
	pixels track              // guarded by pixMu
	whole  rows               // of one chunk, its buffers used again; guarded by pixMu
}

// chunkID is where a chunk belongs.
type chunkID struct {
	step  int64
	index int
}

// track is a numbered row of segments of one kind.
type track struct {
	dir    string
	run    *schemas.RunInfo
	pixels bool
	limit  int64 // bytes of a segment
	number int   // of the next segment
	open   *segment
}

// New starts a recording, or continues that of an earlier session. Files that this left
// open are sealed with what whole batches they have; a sealed one that is damaged is set
// aside, and what is whole of it kept in its place. It returns ErrMismatch where the folder
// holds the record of another run, ErrUnsupported where it is of another version,
// ErrUnavailable where the folder cannot be written.
func New(o Options) (*Recorder, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return nil, diskError(o.Dir, err)
	}
	damaged, err := recoverSegments(o.Dir, &o.Run)
	if err != nil {
		return nil, err
	}
	r := &Recorder{
		opts: o, spec: &o.Run.Spec, pending: map[int64][]*wire.Chunk{}, next: o.From, known: map[chunkID]string{}, stored: map[chunkID]string{},
		log:    track{dir: o.Dir, run: &o.Run, limit: o.SegmentBytes},
		pixels: track{dir: o.Dir, run: &o.Run, limit: o.SegmentBytes, pixels: true},
	}
	if o.SegmentBytes == 0 {
		r.log.limit, r.pixels.limit = logSegment, pixelsSegment
	}
	r.batch.reset(len(r.spec.Views))
	files, err := filepath.Glob(filepath.Join(o.Dir, "*"+fileSuffix))
	if err != nil {
		return nil, diskError(o.Dir, err)
	}
	for _, path := range files {
		aside, err := r.learnOrSetAside(path)
		if err != nil {
			return nil, err
		}
		damaged = damaged || aside
	}
	if damaged {
		r.lacking, err = r.takeStock()
	} else {
		r.lacking.Log = gaps(r.logged, o.From)
	}
	return r, err
}

// learnOrSetAside takes in a sealed file of an earlier session. It sets it aside where it is
// damaged, and takes in what is whole of it.
func (r *Recorder) learnOrSetAside(path string) (aside bool, err error) {
	f, err := openSegment(path)
	if err != nil {
		if _, ours := segmentNumber(path); !ours || !errors.Is(err, errs.ErrCorrupt) && !errors.Is(err, errs.ErrTooLarge) {
			return false, err
		}
		return true, r.takeDamaged(path, err)
	}
	defer f.Close()
	if err := ofRun(f, r.opts.Dir, r.spec); err != nil {
		return false, err
	}
	if err := r.learn(f); !isDamage(err) {
		return false, err
	}
	return true, r.takeDamaged(path, err)
}

// ofRun refuses the file of another run.
func ofRun(f *segmentFile, dir string, spec *schemas.RunSpec) error {
	if f.Run.Spec.EqualBatches(spec) {
		return nil
	}
	return errs.New("record to", dir, "choose another --out, or move the record away", errs.Because(errs.ErrMismatch,
		"it holds the record of another run: "+spec.Differences(&f.Run.Spec).Text("that has")))
}

// takeDamaged sets a damaged file aside, for the reason why, and takes in what is whole of it.
func (r *Recorder) takeDamaged(path string, why error) error {
	to, kept, err := setAside(path, &r.opts.Run)
	if err != nil {
		return err
	}
	if r.opts.Warn != nil {
		for e := (*errs.Error)(nil); errors.As(why, &e); {
			why = e.Err // the line names the file itself
		}
		r.opts.Warn(fmt.Sprintf("%s of the record is damaged (%v): it is now %s, and %s", filepath.Base(path), why, to, wholeBatches(kept)))
	}
	if kept == 0 {
		return nil
	}
	f, err := openSegment(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return r.learn(f)
}

func wholeBatches(kept int) string {
	switch kept {
	case 0:
		return "nothing of it is whole"
	case 1:
		return "its one whole batch is kept in its place"
	}
	return fmt.Sprintf("its %d whole batches are kept in its place", kept)
}

// learn takes in what a file has of the steps that come again.
func (r *Recorder) learn(f *segmentFile) error {
	t, known := &r.log, r.known
	if f.Pixels {
		t, known = &r.pixels, r.stored
	}
	if n, ok := segmentNumber(f.Path); ok {
		t.number = max(t.number, n+1)
	}
	enc := wire.NewEncoder(r.spec)
	for _, x := range f.refs {
		if !f.Pixels {
			r.logged = append(r.logged, Window{x.first, x.last + 1})
		}
		if x.last < r.opts.From {
			continue
		}
		chunks, err := f.batch(x)
		if err == nil && f.Pixels { // what comes again is compared with its digest
			err = checkPixels(enc, f, chunks[0])
		}
		if err != nil {
			return err
		}
		for _, c := range chunks {
			if c.Step >= r.opts.From && c.Tombstone == "" {
				known[chunkID{c.Step, c.Index}] = c.Digest
			}
		}
	}
	return nil
}

// Lacking are steps before the first that is handed out now.
type Lacking struct {
	Log    []Window // of which the log has not all chunks
	Pixels []Window // of which not all pixels are kept, that were to be
}

// Lacking is what the record will not have: its folder was lost, or parts of its files,
// with the machine's power. The ledger names the same steps.
func (r *Recorder) Lacking() Lacking { return r.lacking }

// Chunk keeps what the log needs of a chunk until its step is handed out, and writes its
// pixels where they are wanted. It returns ErrDeterminism where an earlier session had
// the chunk with another digest.
func (r *Recorder) Chunk(_ context.Context, c *wire.Chunk) error {
	if err := r.note(c); err != nil || c.Tombstone != "" || !r.opts.Pixels.has(c.Step) {
		return err
	}
	r.pixMu.Lock()
	defer r.pixMu.Unlock()
	at := chunkID{c.Step, c.Index}
	if r.stored[at] != "" {
		return nil // note has compared it
	}
	r.whole.reset(len(r.spec.Views))
	if err := r.whole.add(c, true); err != nil {
		return err
	}
	if err := r.pixels.write(&r.whole); err != nil {
		return err
	}
	r.stored[at] = c.Digest
	return nil
}

// note keeps a copy of a chunk for the log.
func (r *Recorder) note(c *wire.Chunk) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c.Step < r.next {
		return nil
	}
	of := r.pending[c.Step]
	if of == nil {
		of = make([]*wire.Chunk, r.spec.Chunks())
		r.pending[c.Step] = of
	}
	if of[c.Index] != nil {
		return nil // the assembler compares the two
	}
	if c.Tombstone != "" {
		return r.add(r.tombstone(c)) // its step is not handed out
	}
	for _, was := range []string{r.known[chunkID{c.Step, c.Index}], r.storedDigest(c)} {
		if was != "" && was != c.Digest {
			return errs.New("record chunk", fmt.Sprintf("%d of step %d", c.Index, c.Step), "run the same build on every worker, then start over",
				errs.Because(errs.ErrDeterminism, fmt.Sprintf("an earlier session recorded digest %.12s, now it is %.12s", was, c.Digest)))
		}
	}
	of[c.Index] = copyChunk(c)
	return nil
}

func (r *Recorder) storedDigest(c *wire.Chunk) string {
	r.pixMu.Lock()
	defer r.pixMu.Unlock()
	return r.stored[chunkID{c.Step, c.Index}]
}

// tombstone gives the rows that the log has of a chunk that could not be made.
func (r *Recorder) tombstone(c *wire.Chunk) *wire.Chunk {
	out := &wire.Chunk{Step: c.Step, Index: c.Index, Digest: c.Digest, Tombstone: c.Tombstone, Plans: make([][][]byte, len(r.spec.Views))}
	for _, row := range wire.NewTask(r.spec, r.opts.Order, c.Step, c.Index).Rows {
		out.Slots, out.Planned = append(out.Slots, row.Slot), append(out.Planned, row.Sample)
		out.Samples, out.Labels = append(out.Samples, schemas.Unmade), append(out.Labels, schemas.NoLabel)
		out.Reasons = append(out.Reasons, c.Tombstone)
		for v := range out.Plans {
			out.Plans[v] = append(out.Plans[v], nil)
		}
	}
	return out
}

// Step writes the step's chunks into the log, but for those that it has.
func (r *Recorder) Step(step int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	of := r.pending[step]
	if step != r.next || of == nil || slices.Contains(of, nil) {
		return errs.New("record", fmt.Sprintf("step %d", step), "report this as a bug",
			errs.Because(errs.ErrUsage, fmt.Sprintf("step %d was expected, with all its chunks", r.next)))
	}
	delete(r.pending, step)
	r.next, r.last = step+1, of
	for _, c := range of {
		at := chunkID{step, c.Index}
		if r.known[at] != "" {
			delete(r.known, at)
			continue
		}
		if err := r.add(c); err != nil {
			return err
		}
	}
	return nil
}

// add puts a chunk's rows into the batch, and writes this when it is large; r.mu is held.
func (r *Recorder) add(c *wire.Chunk) error {
	if err := r.batch.add(c, false); err != nil {
		return err
	}
	if r.batch.n() < batchRows {
		return nil
	}
	return r.flush()
}

// flush writes the batch; r.mu is held.
func (r *Recorder) flush() error {
	if r.batch.n() == 0 {
		return nil
	}
	err := r.log.write(&r.batch)
	r.batch.reset(len(r.spec.Views))
	return err
}

// Sync has the disk hold what was handed out. It is called before a checkpoint is
// written, so that no checkpoint is ahead of the log.
func (r *Recorder) Sync() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.flush(); err != nil {
		return err
	}
	if err := r.log.sync(); err != nil {
		return err
	}
	r.pixMu.Lock()
	defer r.pixMu.Unlock()
	return r.pixels.sync()
}

// Close writes what is left and seals the files.
func (r *Recorder) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.flush(); err != nil {
		r.log.abandon()
		return err
	}
	if err := r.log.seal(); err != nil {
		return err
	}
	r.pixMu.Lock()
	defer r.pixMu.Unlock()
	return r.pixels.seal()
}

// Keep writes one batch, that of the step which was handed out last, into a sealed file
// of its own, for a look at what a step was given.
func (r *Recorder) Keep(path string, b *schemas.Batch) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.last) == 0 || r.last[0].Step != b.Step {
		return errs.New("keep batch", fmt.Sprintf("of step %d", b.Step), "keep it before the next is requested", errs.ErrNotFound)
	}
	if err := os.Remove(path + openSuffix); err != nil && !os.IsNotExist(err) {
		return diskError(path, err)
	}
	s, err := createSegment(path, &r.opts.Run, true)
	if err != nil {
		return err
	}
	var rs rows
	for _, c := range r.last {
		lo, hi := r.spec.ChunkRange(c.Index)
		whole := *c
		whole.Pixels = make([][]byte, len(b.Pixels))
		for v, view := range r.spec.Views {
			whole.Pixels[v] = b.Pixels[v][lo*view.Bytes() : hi*view.Bytes()]
		}
		rs.reset(len(r.spec.Views))
		if err = rs.add(&whole, true); err == nil {
			err = s.write(&rs)
		}
		if err != nil {
			s.abandon()
			return err
		}
	}
	return s.seal()
}

func (t *track) write(r *rows) error {
	if t.open == nil {
		s, err := createSegment(filepath.Join(t.dir, segmentName(t.pixels, t.number)), t.run, t.pixels)
		if err != nil {
			return err
		}
		t.open, t.number = s, t.number+1
	}
	if err := t.open.write(r); err != nil {
		return err
	}
	if t.open.size() >= t.limit {
		return t.seal()
	}
	return nil
}

func (t *track) sync() error {
	if t.open == nil {
		return nil
	}
	return t.open.sync()
}

func (t *track) seal() error {
	s := t.open
	t.open = nil
	if s == nil {
		return nil
	}
	return s.seal()
}

func (t *track) abandon() {
	if t.open != nil {
		t.open.abandon()
		t.open = nil
	}
}
