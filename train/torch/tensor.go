package torch

import (
	"encoding/binary"
	"math"
	"strconv"
	"strings"
)

// Tensor is a handle to a tensor in libtorch. It belongs to the scope in which
// it was made until that scope ends, Keep takes it out, or Free frees it. Its
// methods must be called inside Do, except Free on a kept tensor.
type Tensor struct {
	h     uint64
	level int32 // depth of the scope that owns it; 0: kept
}

// Functions of the shim, in csrc/tensor.cc.
var (
	fnMeta        = op{name: "resslt::meta", args: "self"}
	fnShape       = op{name: "resslt::shape", args: "self"}
	fnItem        = op{name: "resslt::item", args: "self"}
	fnRead        = op{name: "resslt::read", args: "self,dtype"}
	fnWrite       = op{name: "resslt::write", args: "self"}
	fnBackward    = op{name: "resslt::backward", args: "self,gradient,retain_graph"}
	fnGrad        = op{name: "resslt::grad", args: "self"}
	fnSetGrad     = op{name: "resslt::set_grad", args: "self,grad"}
	fnSetRequires = op{name: "resslt::set_requires_grad", args: "self,requires_grad"}
	fnTo          = op{name: "resslt::to", args: "self,device,dtype,non_blocking"}
	fnContiguous  = op{name: "resslt::is_contiguous", args: "self,memory_format"}
	fnAlias       = op{name: "resslt::alias", args: "self"}
	fnSame        = op{name: "resslt::same", args: "self,other"}
)

// meta is dtype, device type, device index, requires grad, dim, numel.
func (t *Tensor) meta() (m [6]int64) {
	var b [2]uint64
	var out result
	fnMeta.invoke(putTensor(b[:0], t), nil, &out)
	for i, v := range resultWords(&out) {
		m[i] = int64(v)
	}
	return m
}

// Shape is the sizes of the dimensions, empty for a scalar.
func (t *Tensor) Shape() []int64 {
	var b [2]uint64
	var out result
	fnShape.invoke(putTensor(b[:0], t), nil, &out)
	words := resultWords(&out)
	shape := make([]int64, len(words))
	for i, v := range words {
		shape[i] = int64(v)
	}
	return shape
}

// Dim is the number of dimensions.
func (t *Tensor) Dim() int { return int(t.meta()[4]) }

// Size is the size of dimension i; a negative i counts from the end.
func (t *Tensor) Size(i int) int64 {
	shape := t.Shape()
	if i < 0 {
		i += len(shape)
	}
	if i < 0 || i >= len(shape) {
		misuse("Size", "no such dimension in shape %s", shapeString(shape))
	}
	return shape[i]
}

// Numel is the number of elements.
func (t *Tensor) Numel() int64 { return t.meta()[5] }

// DType is the element type.
func (t *Tensor) DType() DType { return DType(t.meta()[0]) }

// Device is where the elements are.
func (t *Tensor) Device() Device {
	m := t.meta()
	return Device{Type: DeviceType(m[1]), Index: int(m[2])}
}

// String is "float32[2 3] on cpu"; it never fails.
func (t *Tensor) String() string {
	switch {
	case t == nil:
		return "nil tensor"
	case t.h == handleFreed:
		return "freed tensor"
	case !dlInside():
		return "tensor (outside torch.Do)"
	}
	return t.DType().String() + shapeString(t.Shape()) + " on " + t.Device().String()
}

func shapeString(shape []int64) string {
	parts := make([]string, len(shape))
	for i, s := range shape {
		parts[i] = strconv.FormatInt(s, 10)
	}
	return "[" + strings.Join(parts, " ") + "]"
}

// Same reports whether t and o are handles to the same libtorch tensor, not
// merely to equal values.
func (t *Tensor) Same(o *Tensor) bool {
	var b [4]uint64
	return fnSame.word(putTensor(putTensor(b[:0], t), o)) != 0
}

// RequiresGrad reports whether backward reaches t.
func (t *Tensor) RequiresGrad() bool { return t.meta()[3] != 0 }

// SetRequiresGrad turns gradient accumulation on or off for the leaf t, and
// returns t. Only floating-point leaves can require gradients.
func (t *Tensor) SetRequiresGrad(on bool) *Tensor {
	var b [4]uint64
	fnSetRequires.none(putBool(putTensor(b[:0], t), on))
	return t
}

// Grad is the gradient that backward has accumulated, nil if there is none. It
// shares the stored gradient's memory; each call makes a new handle.
func (t *Tensor) Grad() *Tensor {
	var b [2]uint64
	var out result
	fnGrad.invoke(putTensor(b[:0], t), nil, &out)
	if r := resultWords(&out); len(r) > 0 {
		return own(r[0])
	}
	return nil
}

// SetGrad replaces the stored gradient; nil drops it and frees its memory.
func (t *Tensor) SetGrad(g *Tensor) {
	var b [4]uint64
	fnSetGrad.none(putOptTensor(putTensor(b[:0], t), g))
}

// Backward accumulates the gradients of the scalar t into the leaves it depends
// on, and frees the graph.
func (t *Tensor) Backward() {
	var b [6]uint64
	fnBackward.none(putBool(putNone(putTensor(b[:0], t)), false))
}

// BackwardWith is Backward for a t of any shape, given the gradient with respect
// to t; retainGraph keeps the graph for another pass.
func (t *Tensor) BackwardWith(gradient *Tensor, retainGraph bool) {
	var b [6]uint64
	fnBackward.none(putBool(putOptTensor(putTensor(b[:0], t), gradient), retainGraph))
}

// Item is the value of a tensor of one element. It waits for the device.
func (t *Tensor) Item() float64 {
	var b [2]uint64
	return math.Float64frombits(fnItem.word(putTensor(b[:0], t)))
}

// read copies the elements, converted to dtype, in row-major order.
func (t *Tensor) read(d DType) []byte {
	buf := make([]byte, t.Numel()*int64(d.Size()))
	var b [4]uint64
	var out result
	fnRead.invoke(putDType(putTensor(b[:0], t), d), buf, &out)
	return buf
}

// Float32s is a copy of the elements in row-major order, converted from any
// dtype and device. It waits for the device.
func (t *Tensor) Float32s() []float32 {
	raw := t.read(Float32)
	out := make([]float32, len(raw)/4)
	for i := range out {
		out[i] = math.Float32frombits(binary.NativeEndian.Uint32(raw[4*i:]))
	}
	return out
}

// Float64s is Float32s in double precision.
func (t *Tensor) Float64s() []float64 {
	raw := t.read(Float64)
	out := make([]float64, len(raw)/8)
	for i := range out {
		out[i] = math.Float64frombits(binary.NativeEndian.Uint64(raw[8*i:]))
	}
	return out
}

// Int64s is Float32s for integers; floating-point values are truncated.
func (t *Tensor) Int64s() []int64 {
	raw := t.read(Int64)
	out := make([]int64, len(raw)/8)
	for i := range out {
		out[i] = int64(binary.NativeEndian.Uint64(raw[8*i:]))
	}
	return out
}

// Bytes is a copy of the elements in row-major order, in the tensor's own dtype
// and the machine's byte order. It waits for the device.
func (t *Tensor) Bytes() []byte { return t.read(t.DType()) }

// CopyFrom overwrites the elements with data, in the form that Bytes returns. The
// length must match. It works in place and outside autograd.
func (t *Tensor) CopyFrom(data []byte) {
	var b [2]uint64
	var out result
	fnWrite.invoke(putTensor(b[:0], t), data, &out)
}

// To is t on another device and in another dtype; Unset keeps the dtype. If nothing
// changes, the result is a new handle to t's memory. With nonBlocking, a copy from
// pinned memory overlaps with the host's work.
func (t *Tensor) To(device Device, dtype DType, nonBlocking bool) *Tensor {
	var b [8]uint64
	w := putTensor(b[:0], t)
	w = putDevice(w, device)
	w = putOptDType(w, dtype)
	return fnTo.one(putBool(w, nonBlocking))
}

// ToMemoryFormat is t laid out as f, or t's own memory if it already is.
func (t *Tensor) ToMemoryFormat(f MemoryFormat) *Tensor { return Contiguous(t, f) }

// IsContiguous reports whether t is laid out as f.
func (t *Tensor) IsContiguous(f MemoryFormat) bool {
	var b [4]uint64
	return fnContiguous.word(putMemoryFormat(putTensor(b[:0], t), f)) != 0
}

// Detach is t's memory without its history.
func (t *Tensor) Detach() *Tensor { return Detach(t) }

// Alias is a second handle to the same tensor, with a lifetime of its own.
func (t *Tensor) Alias() *Tensor {
	var b [2]uint64
	return fnAlias.one(putTensor(b[:0], t))
}

// Keep takes t out of its scope, so that it lives until Free, across calls of
// Do, and returns t. Keeping a kept tensor does nothing.
func (t *Tensor) Keep() *Tensor {
	if t == nil || t.h <= handleFreed {
		misuse("Keep", "nil or freed tensor")
	}
	if t.level != 0 { // already kept: nothing to do, in or out of Do
		mustBeInside("Keep")
		t.level = 0
	}
	return t
}

// Free frees t at once; every later use is an error. Freeing nil or a freed
// tensor does nothing. A kept tensor may be freed outside Do, though not while
// another goroutine uses it.
func (t *Tensor) Free() {
	if t == nil || t.h <= handleFreed {
		return
	}
	if t.level != 0 {
		mustBeInside("Free")
	}
	h := [1]uint64{t.h}
	t.h = handleFreed
	release(h[:])
}
