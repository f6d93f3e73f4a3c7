package mat

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"unicode/utf16"

	"resslt/schemas/errs"
)

// Limits of a file, far above any annotation file in use.
const (
	maxInflated = 256 << 20 // bytes of all deflated elements of a file when decompressed
	maxDepth    = 16        // arrays within arrays
	maxArrays   = 4 << 20   // arrays in a file, including cells and fields
)

// Kind is what an Array contains.
type Kind uint8

// What an Array has its contents in.
const (
	Number Kind = iota // Numbers
	Text               // Text
	Cell               // Items
	Struct             // Fields and Items
)

func (k Kind) String() string { return [...]string{"numbers", "text", "cells", "structures"}[k] }

// Array is one variable, cell or field. Elements are in column-major order.
type Array struct {
	Kind    Kind
	Dims    []int // two or more
	Numbers []float64
	Text    string // of all rows, in column-major order
	Fields  []string
	// Items are the cells, or the fields of structures: field f of element i is
	// Items[i·len(Fields)+f].
	Items []*Array
}

// Len is the number of elements.
func (a *Array) Len() int {
	n := 1
	for _, d := range a.Dims {
		n *= d // matrix has checked that they fit
	}
	return n
}

// Field is a field of element i of a structure array; nil if it is missing.
func (a *Array) Field(i int, name string) *Array {
	for f, have := range a.Fields {
		if at := i*len(a.Fields) + f; have == name && i >= 0 && at < len(a.Items) {
			return a.Items[at]
		}
	}
	return nil
}

// Vars are the variables of a file, by name.
type Vars map[string]*Array

// Numbers are the values of a numeric variable. Errors wrap ErrCorrupt.
func (v Vars) Numbers(name string) ([]float64, error) {
	a, err := v.of(name, Number)
	if err != nil {
		return nil, err
	}
	return a.Numbers, nil
}

// Strings are the texts of a cell array. Errors wrap ErrCorrupt.
func (v Vars) Strings(name string) ([]string, error) {
	a, err := v.of(name, Cell)
	if err != nil {
		return nil, err
	}
	out := make([]string, len(a.Items))
	for i, c := range a.Items {
		if c.Kind != Text {
			return nil, corrupt("cell %d of %s holds %v, not text", i+1, name, c.Kind)
		}
		out[i] = c.Text
	}
	return out, nil
}

// Structs is a structure array with those fields. Errors wrap ErrCorrupt.
func (v Vars) Structs(name string, fields ...string) (*Array, error) {
	a, err := v.of(name, Struct)
	if err != nil {
		return nil, err
	}
	for _, f := range fields {
		if a.Len() > 0 && a.Field(0, f) == nil {
			return nil, corrupt("variable %s has no field %s", name, f)
		}
	}
	return a, nil
}

func (v Vars) of(name string, kind Kind) (*Array, error) {
	switch a := v[name]; {
	case a == nil:
		return nil, corrupt("it has no variable %s", name)
	case a.Kind != kind:
		return nil, corrupt("variable %s holds %v, not %v", name, a.Kind, kind)
	default:
		return a, nil
	}
}

func corrupt(format string, a ...any) error {
	return errs.Because(errs.ErrCorrupt, fmt.Sprintf(format, a...))
}

func unsupported(format string, a ...any) error {
	return errs.Because(errs.ErrUnsupported, fmt.Sprintf(format, a...))
}

const headerBytes = 128

// Read reads all variables of a MAT-file. Errors wrap ErrCorrupt, ErrTooLarge or
// ErrUnsupported.
func Read(b []byte) (Vars, error) {
	if bytes.HasPrefix(b, []byte("\x89HDF")) || len(b) > 520 && string(b[512:516]) == "\x89HDF" {
		return nil, unsupported("a MAT-file of level 7.3 (HDF5): save it as -v7")
	}
	if len(b) < headerBytes {
		return nil, corrupt("%d bytes are no MAT-file", len(b))
	}
	r := &reader{arrays: maxArrays, inflate: maxInflated}
	switch string(b[126:128]) {
	case "IM":
		r.order = binary.LittleEndian
	case "MI":
		r.order = binary.BigEndian
	default:
		return nil, corrupt("not a MAT-file of level 5")
	}
	if v := r.order.Uint16(b[124:]); v>>8 != 1 {
		return nil, unsupported("a MAT-file of version %#x", v)
	}
	vars := Vars{}
	for rest := b[headerBytes:]; len(rest) > 0; {
		e, tail, err := r.element(rest)
		if err != nil {
			return nil, err
		}
		if e.typ == miCompressed {
			if e, err = r.inflated(e.data); err != nil {
				return nil, err
			}
		}
		if e.typ != miMatrix {
			return nil, corrupt("an element of type %d in place of a variable", e.typ)
		}
		name, a, err := r.matrix(e.data, 0)
		if err != nil {
			if name != "" {
				return nil, fmt.Errorf("variable %s: %w", name, err)
			}
			return nil, err
		}
		vars[name], rest = a, tail
	}
	return vars, nil
}

// Types of elements.
const (
	miInt8 = 1 + iota
	miUint8
	miInt16
	miUint16
	miInt32
	miUint32
	miSingle
	_
	miDouble
	_
	_
	miInt64
	miUint64
	miMatrix
	miCompressed
	miUTF8
	miUTF16
)

type element struct {
	typ  uint32
	data []byte
}

type reader struct {
	order   binary.ByteOrder
	arrays  int   // arrays that may still follow
	inflate int64 // bytes that may still be decompressed
}

// element splits the first element off b. Elements are padded to 8 bytes, except
// deflated ones; small ones have up to four bytes in the tag.
func (r *reader) element(b []byte) (e element, rest []byte, err error) {
	if len(b) < 8 {
		return e, nil, corrupt("truncated in a tag")
	}
	word := r.order.Uint32(b)
	if n := word >> 16; n != 0 {
		if n > 4 {
			return e, nil, corrupt("small element of %d bytes", n)
		}
		return element{word & 0xffff, b[4 : 4+n]}, b[8:], nil
	}
	n := uint64(r.order.Uint32(b[4:]))
	if n > uint64(len(b)-8) {
		return e, nil, corrupt("element claims %d bytes, %d are left", n, len(b)-8)
	}
	e = element{word, b[8 : 8+n]}
	if e.typ != miCompressed {
		n = min((n+7)/8*8, uint64(len(b)-8))
	}
	return e, b[8+n:], nil
}

// inflated is the one element in a deflated one.
func (r *reader) inflated(b []byte) (e element, err error) {
	z, err := zlib.NewReader(bytes.NewReader(b))
	if err != nil {
		return e, errs.BecauseErr(errs.ErrCorrupt, err)
	}
	defer z.Close()
	raw, err := io.ReadAll(io.LimitReader(z, r.inflate+1))
	if err != nil {
		return e, errs.BecauseErr(errs.ErrCorrupt, err)
	}
	if r.inflate -= int64(len(raw)); r.inflate < 0 {
		return e, errs.Because(errs.ErrTooLarge, fmt.Sprintf("decompresses to more than %d bytes", maxInflated))
	}
	e, _, err = r.element(raw)
	return e, err
}

// Classes of arrays.
const (
	mxCell   = 1
	mxStruct = 2
	mxChar   = 4
	mxDouble = 6
	mxUint64 = 15
)

// matrix reads a variable, cell or field.
func (r *reader) matrix(b []byte, depth int) (name string, a *Array, err error) {
	if depth > maxDepth {
		return "", nil, corrupt("arrays nested more than %d deep", maxDepth)
	}
	if r.arrays--; r.arrays < 0 {
		return "", nil, errs.Because(errs.ErrTooLarge, fmt.Sprintf("more than %d arrays", maxArrays))
	}
	if len(b) == 0 { // an empty cell may be written so
		return "", &Array{Dims: []int{0, 0}}, nil
	}
	flags, b, err := r.element(b)
	if err != nil {
		return "", nil, err
	}
	if flags.typ != miUint32 || len(flags.data) != 8 {
		return "", nil, corrupt("no array flags")
	}
	word := r.order.Uint32(flags.data)
	class, complex := word&0xff, word&0x0800 != 0
	shape, b, err := r.element(b)
	if err != nil {
		return "", nil, err
	}
	a = &Array{}
	count := 1
	if shape.typ != miInt32 || len(shape.data) < 8 || len(shape.data)%4 != 0 || len(shape.data) > 4*32 {
		return "", nil, corrupt("no dimensions")
	}
	for i := 0; i < len(shape.data); i += 4 {
		d := int(int32(r.order.Uint32(shape.data[i:])))
		if d < 0 || d > 0 && count > math.MaxInt32/d {
			return "", nil, corrupt("dimension %d", d)
		}
		a.Dims = append(a.Dims, d)
		count *= d
	}
	label, b, err := r.element(b)
	if err != nil {
		return "", nil, err
	}
	name = string(label.data)
	switch {
	case complex:
		return name, nil, unsupported("complex numbers")
	case class == mxCell:
		a.Kind = Cell
		a.Items, err = r.items(b, count, depth)
	case class == mxStruct:
		a.Kind = Struct
		if a.Fields, b, err = r.fieldNames(b); err == nil {
			if len(a.Fields) > 0 && count > math.MaxInt32/len(a.Fields) {
				return name, nil, corrupt("%d structures of %d fields", count, len(a.Fields))
			}
			a.Items, err = r.items(b, count*len(a.Fields), depth)
		}
	case class == mxChar || class >= mxDouble && class <= mxUint64:
		e, _, err := r.element(b)
		if err != nil {
			return name, nil, err
		}
		if class == mxChar {
			a.Kind = Text
			a.Text, err = r.text(e, count)
		} else {
			a.Numbers, err = r.numbers(e, count)
		}
		return name, a, err
	default:
		return name, nil, unsupported("an array of class %d", class)
	}
	return name, a, err
}

// items reads count arrays, each of at least a tag.
func (r *reader) items(b []byte, count, depth int) ([]*Array, error) {
	if count > len(b)/8 {
		return nil, corrupt("%d arrays in %d bytes", count, len(b))
	}
	out := make([]*Array, count)
	for i := range out {
		e, rest, err := r.element(b)
		if err != nil {
			return nil, err
		}
		if e.typ != miMatrix {
			return nil, corrupt("an element of type %d in place of an array", e.typ)
		}
		if _, out[i], err = r.matrix(e.data, depth+1); err != nil {
			return nil, err
		}
		b = rest
	}
	return out, nil
}

// fieldNames reads the names of a structure's fields: their common width, then
// each, padded with zeros.
func (r *reader) fieldNames(b []byte) (names []string, rest []byte, err error) {
	width, b, err := r.element(b)
	if err != nil {
		return nil, nil, err
	}
	if width.typ != miInt32 || len(width.data) != 4 {
		return nil, nil, corrupt("no width of field names")
	}
	w := int(int32(r.order.Uint32(width.data)))
	all, rest, err := r.element(b)
	if err != nil {
		return nil, nil, err
	}
	if w < 1 || len(all.data)%w != 0 {
		return nil, nil, corrupt("field names of %d bytes in %d", w, len(all.data))
	}
	for d := all.data; len(d) > 0; d = d[w:] {
		name, _, _ := bytes.Cut(d[:w], []byte{0})
		names = append(names, string(name))
	}
	return names, rest, nil
}

// width is the size of one stored number; 0 for other types.
func width(typ uint32) int {
	switch typ {
	case miInt8, miUint8, miUTF8:
		return 1
	case miInt16, miUint16, miUTF16:
		return 2
	case miInt32, miUint32, miSingle:
		return 4
	case miDouble, miInt64, miUint64:
		return 8
	}
	return 0
}

// numbers reads the values, which are stored in the smallest type that can hold them,
// whatever the class of the array.
func (r *reader) numbers(e element, count int) ([]float64, error) {
	w := width(e.typ)
	if w == 0 || len(e.data) != w*count {
		return nil, corrupt("%d bytes of type %d for %d numbers", len(e.data), e.typ, count)
	}
	out := make([]float64, count)
	for i := range out {
		d := e.data[i*w:]
		switch e.typ {
		case miInt8:
			out[i] = float64(int8(d[0]))
		case miUint8, miUTF8:
			out[i] = float64(d[0])
		case miInt16:
			out[i] = float64(int16(r.order.Uint16(d)))
		case miUint16, miUTF16:
			out[i] = float64(r.order.Uint16(d))
		case miInt32:
			out[i] = float64(int32(r.order.Uint32(d)))
		case miUint32:
			out[i] = float64(r.order.Uint32(d))
		case miSingle:
			out[i] = float64(math.Float32frombits(r.order.Uint32(d)))
		case miDouble:
			out[i] = math.Float64frombits(r.order.Uint64(d))
		case miInt64:
			out[i] = float64(int64(r.order.Uint64(d)))
		case miUint64:
			out[i] = float64(r.order.Uint64(d))
		}
	}
	return out, nil
}

// text reads characters: UTF-8, or code units of one or two bytes.
func (r *reader) text(e element, count int) (string, error) {
	if e.typ == miUTF8 {
		return string(e.data), nil
	}
	w := width(e.typ)
	if w == 0 || w > 2 || len(e.data) != w*count {
		return "", corrupt("%d bytes of type %d for %d characters", len(e.data), e.typ, count)
	}
	units := make([]uint16, count)
	for i := range units {
		if w == 1 {
			units[i] = uint16(e.data[i])
		} else {
			units[i] = r.order.Uint16(e.data[2*i:])
		}
	}
	return string(utf16.Decode(units)), nil
}
