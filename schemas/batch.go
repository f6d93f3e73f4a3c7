package schemas

// Batch is one assembled training batch: what batcher returns and train takes.
// The pixels of view v are Pixels[v], (Size,S,S,3) uint8 in HWC order and RGB,
// where S is Views[v].Size; row i belongs to slot i of the batch.
//
// The buffers belong to the assembler. The consumer calls Release once it has
// copied what it needs, and must not read the batch after that.
type Batch struct {
	Step  int64 // 0 ≤ Step < RunSpec.Steps
	Epoch int64 // Step / RunSpec.StepsPerEpoch
	Size  int   // B, rows of every view

	Views  []ViewSpec
	Pixels [][]byte // one buffer a view, Size·S·S·3 bytes

	Samples  []int64  // (Size) sample whose pixels the slot holds
	Labels   []int32  // (Size) its class, or NoLabel
	Planned  []int64  // (Size) sample that the order has there
	Why      []string // (Size) why another took its place; "" where none did
	Replaced int      // slots whose planned sample could not be decoded
	Reasons  []string // one for each replaced slot, in one line

	// Plans are what was drawn of each row, a view's rows after one another, in augment's
	// encoding; nil unless the assembler was asked for them.
	Plans [][][]byte

	release func()
}

// OnRelease sets the function that Release calls; the assembler recycles buffers
// in it.
func (b *Batch) OnRelease(f func()) { b.release = f }

// Release returns the buffers. Further calls do nothing.
func (b *Batch) Release() {
	if f := b.release; f != nil {
		b.release = nil
		f()
	}
}
