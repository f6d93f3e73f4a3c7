package held

import (
	"bytes"
	"fmt"
	"slices"
	"sync"

	"resslt/batcher/wire"
	"resslt/schemas"
	"resslt/schemas/errs"
)

// Store holds chunks of one run. It is safe for concurrent use.
type Store struct {
	spec  *schemas.RunSpec
	limit int64 // bytes of pixels

	mu    sync.Mutex
	there map[position]*Chunk // guarded by mu
	bytes int64               // of the pixels that are there; guarded by mu
	free  []*wire.Chunk       // to be filled; guarded by mu
}

type position struct {
	step  int64
	index int
}

// Chunk is a chunk that somebody reads, until its Release.
type Chunk struct {
	rows    *wire.Chunk
	store   *Store
	readers int  // guarded by store.mu
	dropped bool // guarded by store.mu

	digesting sync.Mutex
	digest    string // "" until it was asked for; guarded by digesting
}

// New makes a store of the run's chunks that holds limit bytes of pixels at most; 0: as many
// as come.
func New(spec *schemas.RunSpec, limit int64) *Store {
	return &Store{spec: spec, limit: limit, there: map[position]*Chunk{}}
}

// Put takes in a filled chunk and gives one for it to be filled next, whose contents are of before.
// One that is there already keeps its place: equal, it is as good; ErrDeterminism where it is not.
// With an error the caller keeps c: ErrTooLarge says that there is no room now.
func (s *Store) Put(c *wire.Chunk) (*wire.Chunk, error) {
	at, size := position{c.Step, c.Index}, c.PixelBytes()
	s.mu.Lock()
	if have := s.there[at]; have != nil {
		have.readers++
		s.mu.Unlock()
		same := equal(have.rows, c)
		have.Release()
		if same {
			return c, nil
		}
		return c, errs.New("hold chunk", fmt.Sprintf("%d of step %d", c.Index, c.Step), "report this as a bug: the engine makes the same pixels every time",
			errs.Because(errs.ErrDeterminism, "the same task was made twice, with different bytes"))
	}
	defer s.mu.Unlock()
	if s.limit > 0 && s.bytes+size > s.limit {
		return c, errs.New("hold chunk", fmt.Sprintf("%d of step %d", c.Index, c.Step), "see that the run's trainer is at work",
			errs.Because(errs.ErrTooLarge, fmt.Sprintf("%d bytes of chunks are held, of at most %d", s.bytes, s.limit)))
	}
	s.there[at], s.bytes = &Chunk{rows: c, store: s}, s.bytes+size
	if n := len(s.free); n > 0 {
		next := s.free[n-1]
		s.free = s.free[:n-1]
		return next, nil
	}
	return wire.NewChunk(s.spec), nil
}

// Get gives a chunk, nil where it is not there. The caller releases it.
func (s *Store) Get(step int64, index int) *Chunk {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.there[position{step, index}]
	if c != nil {
		c.readers++
	}
	return c
}

// Release ends the use of a chunk.
func (c *Chunk) Release() {
	c.store.mu.Lock()
	defer c.store.mu.Unlock()
	c.readers--
	c.store.reuse(c)
}

// Digest is the digest that the chunk's body has on the wire. It is computed once.
func (c *Chunk) Digest(enc *wire.Encoder) (string, error) {
	c.digesting.Lock()
	defer c.digesting.Unlock()
	if c.digest == "" {
		digest, err := enc.Digest(c.rows)
		if err != nil {
			return "", err
		}
		c.digest = digest
	}
	return c.digest, nil
}

// Rows is the chunk as Decode gives one. It must not be written to, nor used after Release.
func (c *Chunk) Rows(digest, worker string) *wire.Chunk {
	out := *c.rows
	out.Digest, out.Worker = digest, worker
	return &out
}

// Drop forgets a chunk that is deleted in the broker.
func (s *Store) Drop(step int64, index int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(position{step, index})
}

// DropStep forgets those of a step.
func (s *Store) DropStep(step int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for index := range s.spec.Chunks() {
		s.drop(position{step, index})
	}
}

// drop does so; s.mu is held.
func (s *Store) drop(at position) {
	c := s.there[at]
	if c == nil {
		return
	}
	delete(s.there, at)
	s.bytes -= c.rows.PixelBytes()
	c.dropped = true
	s.reuse(c)
}

// reuse has a chunk that is dropped, and that nobody reads, filled again; s.mu is held.
func (s *Store) reuse(c *Chunk) {
	if c.dropped && c.readers == 0 {
		s.free = append(s.free, c.rows)
	}
}

// Held is how many bytes of pixels are held, and how many may be, 0: any.
func (s *Store) Held() (bytes, limit int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bytes, s.limit
}

// equal compares the columns of two chunks of one position.
func equal(a, b *wire.Chunk) bool {
	same := slices.Equal(a.Samples, b.Samples) && slices.Equal(a.Labels, b.Labels) && slices.Equal(a.Planned, b.Planned) && slices.Equal(a.Reasons, b.Reasons)
	for v := range a.Pixels {
		same = same && bytes.Equal(a.Pixels[v], b.Pixels[v]) && slices.EqualFunc(a.Plans[v], b.Plans[v], bytes.Equal)
	}
	return same
}
