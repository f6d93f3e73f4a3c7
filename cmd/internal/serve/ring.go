package serve

import (
	"errors"
	"os"
	"sync"

	"resslt/schemas"
)

// ring is memory that this process shares with a client, in slots of one message each. Batches
// are assembled in it: it is the assembler's Room. One slot, the spare, is kept from the
// assembler: a batch that was assembled elsewhere, because all other slots were taken, is copied
// there, or goes through the socket while the client has the spare. It waits for no slot: those
// may be held by later batches, or by a client that is waiting for this one.
//
// Of a slot's states one follows another: free, being assembled, with the client, free.
type ring struct {
	file   *os.File
	memory []byte
	layout *layout
	each   int // bytes of a slot

	mu    sync.Mutex
	free  []int                  // slots that the assembler may take; guarded by mu
	spare bool                   // the spare is free; guarded by mu
	out   map[int]*schemas.Batch // what the client holds, nil of the spare; guarded by mu
}

// extraSlots are those beside a client's credits: two batches that are being assembled, one that
// is ready, and the spare.
const extraSlots = 4

// pageBytes is the size that slots are multiples of.
const pageBytes = 4096

// slotBytes is the size of a slot of that layout.
func slotBytes(l *layout) int64 { return int64(l.most+pageBytes-1) / pageBytes * pageBytes }

// openRing makes a ring of n slots, at least 2. The caller closes it, after who assembles in it.
func openRing(l *layout, n int) (*ring, error) {
	each := slotBytes(l)
	file, memory, err := openShared(each * int64(n))
	if err != nil {
		return nil, err
	}
	r := &ring{file: file, memory: memory, layout: l, each: int(each), spare: true, out: map[int]*schemas.Batch{}}
	for s := range n - 1 {
		r.free = append(r.free, n-2-s) // the first on top
	}
	return r, nil
}

func (r *ring) slots() int { return len(r.memory) / r.each }

func (r *ring) slot(s int) []byte { return r.memory[s*r.each : (s+1)*r.each : (s+1)*r.each] }

// pixels are the places of a slot's pixels, a view each.
func (r *ring) pixels(s int) [][]byte {
	body := r.slot(s)[r.layout.meta:]
	out := make([][]byte, len(r.layout.pixels))
	for v, c := range r.layout.pixels {
		end := c.at + c.width*r.layout.rows
		out[v] = body[c.at:end:end]
	}
	return out
}

// slotOf is the slot whose pixels these are, -1 where they are elsewhere.
func (r *ring) slotOf(pixels [][]byte) int {
	for s := range r.slots() {
		if &pixels[0][0] == &r.slot(s)[r.layout.meta+r.layout.pixels[0].at] {
			return s
		}
	}
	return -1
}

// Take gives the pixels of a free slot to the assembler, nil where none is free.
func (r *ring) Take() [][]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := len(r.free)
	if n == 0 {
		return nil
	}
	s := r.free[n-1]
	r.free = r.free[:n-1]
	return r.pixels(s)
}

// Give takes a slot back from the assembler.
func (r *ring) Give(pixels [][]byte) {
	s := r.slotOf(pixels)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.free = append(r.free, s)
}

// hand passes a slot to the client, with the batch that was assembled in it.
func (r *ring) hand(s int, b *schemas.Batch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.out[s] = b
}

// takeSpare takes the spare; false while the client has it.
func (r *ring) takeSpare() (slot int, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	ok, r.spare = r.spare, false
	return r.slots() - 1, ok
}

// release takes a slot back from the client; false where the client has it not.
func (r *ring) release(s int64) bool {
	r.mu.Lock()
	b, has := r.out[int(s)]
	delete(r.out, int(s))
	if has && b == nil {
		r.spare = true
	}
	r.mu.Unlock()
	if b != nil {
		b.Release() // which calls Give
	}
	return has
}

// close unmaps the memory; a client keeps its own mapping.
func (r *ring) close() error {
	return errors.Join(closeShared(r.memory), r.file.Close())
}
