package pth

import (
	"fmt"
	"math"
	"strings"

	"resslt/train/safetensors"
)

// storage is a range of elements of a file's storage.
type storage struct {
	key    string
	dtype  safetensors.DType // "" where it says nothing, or is none of ours
	kind   string            // its class, for messages
	size   int64             // bytes of an element
	offset int64             // elements, of a view into a storage of a legacy file
	numel  int64
}

// tensor is what a rebuild gives: a view of a storage. A tensor with why is one that is not
// read here.
type tensor struct {
	storage       storage
	offset        int64 // elements
	shape, stride []int64
	why           string
}

// maxDims bounds the dimensions of a tensor; PyTorch's bound is 64.
const maxDims = 64

// classes are the storages that are known: element types and bytes.
var classes = map[string]struct {
	dtype safetensors.DType
	size  int64
}{
	"DoubleStorage": {safetensors.F64, 8}, "FloatStorage": {safetensors.F32, 4},
	"HalfStorage": {safetensors.F16, 2}, "BFloat16Storage": {safetensors.BF16, 2},
	"LongStorage": {safetensors.I64, 8}, "IntStorage": {safetensors.I32, 4}, "ShortStorage": {"", 2},
	"CharStorage": {"", 1}, "ByteStorage": {safetensors.U8, 1}, "BoolStorage": {safetensors.Bool, 1},
	"ComplexFloatStorage": {"", 8}, "ComplexDoubleStorage": {"", 16},
	"QInt8Storage": {"", 1}, "QUInt8Storage": {"", 1}, "QInt32Storage": {"", 4},
	"UntypedStorage": {"", 1}, "UntypedStorageBase": {"", 1},
}

// newStorage is what a persistent id stands for: ('storage', class, key, place, elements) and,
// in legacy files, the part of another storage that it is, or None. ('module', class, …) is
// the class.
func newStorage(id any) (any, error) {
	t, ok := id.(tuple)
	if !ok || len(t) < 2 {
		return nil, corrupt("a persistent id that is no tuple")
	}
	if t[0] == "module" {
		return t[1], nil
	}
	if t[0] != "storage" || len(t) < 5 {
		return nil, corrupt("a persistent id that is no storage")
	}
	class, a := t[1].(global)
	key, b := t[2].(string)
	numel, c := t[4].(int64)
	if !a || !b || !c || numel < 0 {
		return nil, corrupt("a storage without class, key or size")
	}
	known, ok := classes[class.name]
	if !ok || !strings.HasPrefix(class.module, "torch") {
		return nil, unsupported("its tensors are kept as %s", class)
	}
	s := storage{key: key, dtype: known.dtype, kind: class.name, size: known.size, numel: numel}
	if len(t) < 6 || t[5] == nil {
		return s, nil
	}
	view, ok := t[5].(tuple) // key of this view, offset, elements
	if !ok || len(view) != 3 {
		return nil, corrupt("a view of a storage without offset or size")
	}
	offset, a := view[1].(int64)
	part, b := view[2].(int64)
	if !a || !b || offset < 0 || part < 0 || offset > numel || part > numel-offset {
		return nil, corrupt("a view outside its storage")
	}
	s.offset, s.numel = offset, part
	return s, nil
}

// call applies a global to its arguments: those that make dictionaries and tensors. Any other
// gives an object. depth counts rebuilds within a rebuild.
func call(class, args any, depth int) (any, error) {
	g, ok := class.(global)
	if !ok {
		return &object{args: args}, nil // of a class that is an object itself
	}
	a, _ := args.(tuple)
	switch g.String() {
	case "collections.OrderedDict", "builtins.dict", "__builtin__.dict":
		return newDict(a)
	case "torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2":
		return rebuild(a, nil)
	case "torch._utils._rebuild_tensor_v3":
		if len(a) < 7 {
			return nil, corrupt("a tensor of %d parts", len(a))
		}
		return rebuild(a, a[6])
	case "torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state":
		if len(a) < 1 {
			return nil, corrupt("a parameter without a tensor")
		}
		return a[0], nil
	case "torch._tensor._rebuild_from_type_v2": // function, class, arguments, state
		if len(a) < 3 || depth > 4 {
			return nil, corrupt("a tensor of a class without parts")
		}
		return call(a[0], a[2], depth+1)
	}
	if strings.HasPrefix(g.module, "torch") && strings.HasPrefix(g.name, "_rebuild_") {
		return tensor{why: "is made by " + g.String()}, nil // sparse, quantised, without bytes
	}
	return &object{class: g, args: args}, nil
}

// newDict is OrderedDict() or, from Python 2, OrderedDict([[key, value], …]).
func newDict(a tuple) (any, error) {
	d := &dict{}
	if len(a) == 0 {
		return d, nil
	}
	l, ok := a[0].(*list)
	if !ok {
		return d, nil
	}
	for _, item := range l.items {
		var kv []any
		switch item := item.(type) {
		case *list:
			kv = item.items
		case tuple:
			kv = item
		}
		if len(kv) != 2 {
			return nil, corrupt("a dictionary's pair of %d", len(kv))
		}
		d.pairs = append(d.pairs, pair{kv[0], kv[1]})
	}
	return d, nil
}

// rebuild makes a tensor of (storage, offset, sizes, strides, …). dtype is a global such as
// torch.float32 where the storage has no type of its own.
func rebuild(a tuple, dtype any) (any, error) {
	if len(a) < 4 {
		return nil, corrupt("a tensor of %d parts", len(a))
	}
	s, ok := a[0].(storage)
	if !ok {
		return tensor{why: "has no storage in the file"}, nil
	}
	t := tensor{storage: s}
	offset, isNumber := a[1].(int64)
	var err error
	if t.shape, err = integers(a[2]); err != nil {
		return nil, err
	}
	if t.stride, err = integers(a[3]); err != nil {
		return nil, err
	}
	if t.offset = offset; !isNumber || offset < 0 || len(t.shape) != len(t.stride) || len(t.shape) > maxDims {
		return nil, corrupt("a tensor of sizes %v and strides %v", t.shape, t.stride)
	}
	if g, ok := dtype.(global); ok {
		t.storage = t.storage.typed(g.name)
	}
	if t.storage.dtype == "" {
		t.why = "is of type " + t.storage.kind
		return t, nil
	}
	if err := t.check(); err != nil {
		return nil, err
	}
	return t, nil
}

// typed is an untyped storage as one of the given type.
func (s storage) typed(dtype string) storage {
	s.kind = dtype
	for name, class := range map[string]string{
		"float32": "FloatStorage", "float64": "DoubleStorage", "float16": "HalfStorage", "bfloat16": "BFloat16Storage",
		"int64": "LongStorage", "int32": "IntStorage", "uint8": "ByteStorage", "bool": "BoolStorage",
	} {
		if name == dtype && s.size == 1 {
			k := classes[class]
			s.dtype, s.size, s.numel = k.dtype, k.size, s.numel/k.size
		}
	}
	return s
}

// numel is the number of elements, or -1 where there are too many for an int64 of bytes.
func (t *tensor) numel() int64 {
	n := int64(1)
	for _, s := range t.shape {
		if s > 0 && n > math.MaxInt64/16/s {
			return -1
		}
		n *= s
	}
	return n
}

// check holds sizes and strides against the storage.
func (t *tensor) check() error {
	n := t.numel()
	if n < 0 {
		return corrupt("a tensor of sizes %v", t.shape)
	}
	if n > t.storage.numel {
		if last, ok := t.last(); n > 0 && (!ok || last < t.storage.numel) {
			t.why = fmt.Sprintf("repeats a storage of %d elements", t.storage.numel)
			return nil
		}
		return corrupt("a tensor of sizes %v in a storage of %d elements", t.shape, t.storage.numel)
	}
	if last, ok := t.last(); n > 0 && (!ok || last >= t.storage.numel) {
		return corrupt("a tensor of sizes %v and strides %v ends outside its storage of %d elements", t.shape, t.stride, t.storage.numel)
	}
	return nil
}

// last is the index of the last element in the storage; not ok where an int64 cannot hold it.
func (t *tensor) last() (int64, bool) {
	last := t.offset
	for i, s := range t.shape {
		if s > 1 {
			if t.stride[i] > (math.MaxInt64-last)/(s-1) {
				return 0, false
			}
			last += (s - 1) * t.stride[i]
		}
	}
	return last, true
}

// integers are the numbers of a tuple, a list or a torch.Size, none negative.
func integers(v any) ([]int64, error) {
	if o, ok := v.(*object); ok { // torch.Size((…))
		if a, ok := o.args.(tuple); ok && len(a) == 1 {
			v = a[0]
		}
	}
	var items []any
	switch v := v.(type) {
	case tuple:
		items = v
	case *list:
		items = v.items
	default:
		return nil, corrupt("sizes that are no tuple")
	}
	if len(items) > maxDims {
		return nil, corrupt("%d dimensions", len(items))
	}
	out := make([]int64, len(items))
	for i, x := range items {
		n, ok := x.(int64)
		if !ok || n < 0 {
			return nil, corrupt("a size or stride of %v", x)
		}
		out[i] = n
	}
	return out, nil
}
