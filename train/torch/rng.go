package torch

var (
	fnManualSeed  = op{name: "resslt::manual_seed", args: "seed"}
	fnNewGen      = op{name: "resslt::new_generator", args: "device,seed"}
	fnDefaultGen  = op{name: "resslt::default_generator", args: "device"}
	fnFreeGen     = op{name: "resslt::free_generator", args: "handle"}
	fnGenState    = op{name: "resslt::generator_state", args: "generator"}
	fnSetGenState = op{name: "resslt::set_generator_state", args: "generator,state"}
)

// Generator is a source of random numbers of its own: draws from it neither
// depend on other draws nor disturb them. Its methods need Do. It lives until
// Free.
type Generator struct{ h uint64 }

// NewGenerator makes a generator for tensors on device.
func NewGenerator(device Device, seed uint64) *Generator {
	var b [4]uint64
	return &Generator{h: fnNewGen.word(putInt(putDevice(b[:0], device), int64(seed)))}
}

// Free frees the generator; a later use is an error.
func (g *Generator) Free() {
	if g == nil || g.h <= handleFreed {
		return
	}
	var b [2]uint64
	fnFreeGen.none(putInt(b[:0], int64(g.h)))
	g.h = handleFreed
}

// State is all that the next draw depends on, to be put in a checkpoint.
func (g *Generator) State() []byte {
	var state []byte
	ScopeDo(func() {
		var b [2]uint64
		state = fnGenState.one(putGenerator(b[:0], g)).Bytes()
	})
	return state
}

// SetState goes back to a State of a generator of the same kind of device.
func (g *Generator) SetState(state []byte) {
	ScopeDo(func() {
		var b [4]uint64
		fnSetGenState.none(putTensor(putGenerator(b[:0], g), FromUint8(state, int64(len(state)))))
	})
}

// ManualSeed seeds the default generators of every device, those that dropout
// and ops given a nil *Generator draw from.
func ManualSeed(seed uint64) {
	var b [2]uint64
	fnManualSeed.none(putInt(b[:0], int64(seed)))
}

// RNGState is the state of a device's default generator.
func RNGState(device Device) []byte {
	g := defaultGenerator(device)
	defer g.Free()
	return g.State()
}

// SetRNGState goes back to an RNGState.
func SetRNGState(device Device, state []byte) {
	g := defaultGenerator(device)
	defer g.Free()
	g.SetState(state)
}

func defaultGenerator(device Device) *Generator {
	var b [2]uint64
	return &Generator{h: fnDefaultGen.word(putDevice(b[:0], device))}
}

// putGenerator refuses nil and freed generators, in the shim.
func putGenerator(w []uint64, g *Generator) []uint64 {
	h := uint64(handleNil)
	if g != nil {
		h = g.h
	}
	return append(w, tagGenerator, h)
}
