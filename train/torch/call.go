package torch

import (
	"math"
	"slices"
	"sync/atomic"
)

// Tags of the argument words; csrc/shim.h is the reference.
const (
	tagNone    = 0
	tagTensor  = 1
	tagInt     = 2
	tagDouble  = 3
	tagBool    = 4
	tagScalar  = 5
	tagInts    = 6
	tagDoubles = 7
	tagTensors = 9
	tagString  = 10
	tagDevice  = 11
)

// Handles that are no tensor; csrc/shim.h is the reference.
const (
	handleNil   = 0
	handleFreed = 1
)

// op is an operator of libtorch or a function of the shim. It is looked up by name
// at its first call.
type op struct {
	name, overload string
	args           string // the names of the arguments passed, joined by commas
	found          atomic.Uint64
}

// String is the name that errors show: "aten::add.Tensor".
func (o *op) String() string {
	if o.overload == "" {
		return o.name
	}
	return o.name + "." + o.overload
}

// watcher, if set, is called before every op; only the device thread touches it.
var watcher func(op string, first *Tensor)

// Watch calls see before every op that runs inside fn, with the op's name
// ("aten::relu_") and the first of its arguments if that is a tensor, else nil. It is
// for tests of what goes into an op. see may call ops, which are not watched, and must
// not keep the tensor.
func Watch(see func(op string, first *Tensor), fn func()) {
	was := watcher
	watcher = see
	defer func() { watcher = was }()
	fn()
}

// watched passes the call to the watcher.
func (o *op) watched(w []uint64) {
	see := watcher
	watcher = nil
	defer func() { watcher = see }()
	var first *Tensor
	if len(w) > 1 && w[0] == tagTensor {
		first = &Tensor{h: w[1]}
	}
	see(o.String(), first)
}

// invoke calls the op with words that the put functions made.
func (o *op) invoke(w []uint64, data []byte, out *result) {
	if watcher != nil {
		o.watched(w)
	}
	h := o.found.Load()
	if h == 0 {
		if err := Available(); err != nil {
			panic(&failure{err})
		}
		var message string
		if h, message = dlFind(o.name, o.overload, o.args); message != "" {
			fail(o.String(), message)
		}
		o.found.Store(h)
	}
	if message := dlInvoke(h, w, data, out); message != "" {
		fail(o.String(), message)
	}
}

// none is for ops without a result and for in-place ops, whose result is self.
func (o *op) none(w []uint64) {
	var out result
	o.invoke(w, nil, &out)
}

func (o *op) one(w []uint64) *Tensor {
	var out result
	o.invoke(w, nil, &out)
	return own(resultWords(&out)[0])
}

func (o *op) two(w []uint64) (a, b *Tensor) {
	var out result
	o.invoke(w, nil, &out)
	r := resultWords(&out)
	return own(r[0]), own(r[1])
}

func (o *op) list(w []uint64) []*Tensor {
	var out result
	o.invoke(w, nil, &out)
	r := resultWords(&out)
	ts := make([]*Tensor, len(r))
	for i, h := range r {
		ts[i] = own(h)
	}
	return ts
}

// word is for ops that return a single bool, int or float.
func (o *op) word(w []uint64) uint64 {
	var out result
	o.invoke(w, nil, &out)
	return resultWords(&out)[0]
}

// words is for functions of the shim that return several numbers.
func (o *op) words(w []uint64) []uint64 {
	var out result
	o.invoke(w, nil, &out)
	return slices.Clone(resultWords(&out))
}

// handle is the word for a tensor argument; the shim refuses nil and freed ones.
func (t *Tensor) handle() uint64 {
	if t == nil {
		return handleNil
	}
	return t.h
}

func putTensor(w []uint64, t *Tensor) []uint64 { return append(w, tagTensor, t.handle()) }

// putOptTensor passes nil as None.
func putOptTensor(w []uint64, t *Tensor) []uint64 {
	if t == nil {
		return append(w, tagNone)
	}
	return append(w, tagTensor, t.h)
}

func putTensors(w []uint64, ts []*Tensor) []uint64 {
	w = append(w, header(tagTensors, len(ts)))
	for _, t := range ts {
		w = append(w, t.handle())
	}
	return w
}

func putInt(w []uint64, v int64) []uint64 { return append(w, tagInt, uint64(v)) }

func putOptInt(w []uint64, v *int64) []uint64 {
	if v == nil {
		return append(w, tagNone)
	}
	return putInt(w, *v)
}

func putDouble(w []uint64, v float64) []uint64 { return append(w, tagDouble, math.Float64bits(v)) }

func putScalar(w []uint64, v float64) []uint64 { return append(w, tagScalar, math.Float64bits(v)) }

func putBool(w []uint64, v bool) []uint64 {
	if v {
		return append(w, tagBool, 1)
	}
	return append(w, tagBool, 0)
}

func putInts(w []uint64, vs []int64) []uint64 {
	w = append(w, header(tagInts, len(vs)))
	for _, v := range vs {
		w = append(w, uint64(v))
	}
	return w
}

func putDoubles(w []uint64, vs []float64) []uint64 {
	w = append(w, header(tagDoubles, len(vs)))
	for _, v := range vs {
		w = append(w, math.Float64bits(v))
	}
	return w
}

// putOptInts passes nil as None; an empty slice is an empty list.
func putOptInts(w []uint64, vs []int64) []uint64 {
	if vs == nil {
		return append(w, tagNone)
	}
	return putInts(w, vs)
}

func putString(w []uint64, s string) []uint64 {
	n := (len(s) + 7) / 8
	w = append(w, header(tagString, n), uint64(len(s)))
	for i := range n {
		var word uint64
		for j := 0; j < 8 && 8*i+j < len(s); j++ {
			word |= uint64(s[8*i+j]) << (8 * j)
		}
		w = append(w, word)
	}
	return w
}

func putDType(w []uint64, d DType) []uint64 { return putInt(w, int64(d)) }

// putOptDType passes Unset as None.
func putOptDType(w []uint64, d DType) []uint64 {
	if d == Unset {
		return append(w, tagNone)
	}
	return putDType(w, d)
}

func putMemoryFormat(w []uint64, f MemoryFormat) []uint64 { return putInt(w, int64(f)) }

func putDevice(w []uint64, d Device) []uint64 { return append(w, tagDevice, d.word()) }

func putNone(w []uint64) []uint64 { return append(w, tagNone) }

func header(tag, count int) uint64 { return uint64(tag) | uint64(count)<<8 }
