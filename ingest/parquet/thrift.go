package parquet

import (
	"encoding/binary"
	"fmt"

	"resslt/schemas/errs"
)

// Parquet keeps its footer and page headers in Thrift's compact protocol. Generated
// readers allocate lists of whatever length they claim, and refuse a whole file for a
// column of a type that is newer than they are. So this file walks every such structure
// once, checking each length against the bytes that are there, and then looks fields up
// in the bytes themselves: nothing is allocated by what a file claims.

// message is a structure that walkThrift has walked, as its bytes.
type message struct{ b []byte }

// Types of the compact protocol.
const (
	thriftTrue = 1 + iota
	thriftFalse
	thriftByte
	thriftI16
	thriftI32
	thriftI64
	thriftDouble
	thriftBinary
	thriftList
	thriftSet
	thriftMap
	thriftStructType
)

// maxThriftDepth bounds how deep structures nest; Parquet's nest six deep.
const maxThriftDepth = 24

// walkThrift walks the structure at the start of b and returns its length in bytes.
// Errors wrap ErrCorrupt.
func walkThrift(b []byte) (m message, n int, err error) {
	w := &thriftWalker{b: b}
	if err := w.structure(0); err != nil {
		return m, 0, err
	}
	n = len(b) - len(w.b)
	return message{b[:n]}, n, nil
}

// find is the type of a field, and a walker at its value; ok is false where it is missing.
func (m message) find(id int16) (typ byte, at thriftWalker, ok bool) {
	w := thriftWalker(m)
	for field := int64(0); len(w.b) > 0; {
		f, typ, err := w.head(field)
		if err != nil || typ == 0 {
			break
		}
		if field = f; field == int64(id) {
			return typ, w, true
		}
		if w.fieldValue(typ, 0) != nil {
			break
		}
	}
	return 0, w, false
}

// number is a field that is a number or a truth value (1, 0); ok is false where it is
// missing.
func (m message) number(id int16) (v int64, ok bool) {
	typ, w, ok := m.find(id)
	if !ok {
		return 0, false
	}
	switch typ {
	case thriftTrue, thriftFalse: // the value is the type
		return int64(thriftFalse - typ), true
	case thriftByte:
		c, err := w.byte()
		return int64(int8(c)), err == nil
	case thriftI16, thriftI32, thriftI64:
		v, err := w.zigzag()
		return v, err == nil
	}
	return 0, false
}

// int is a number, 0 where it is missing.
func (m message) int(id int16) int64 {
	v, _ := m.number(id)
	return v
}

// at is the structure in a field; an empty one where it is missing.
func (m message) at(id int16) message {
	typ, w, ok := m.find(id)
	if !ok || typ != thriftStructType {
		return message{}
	}
	return message(w)
}

// text is a field of bytes; nil where it is missing.
func (m message) text(id int16) []byte {
	typ, w, ok := m.find(id)
	if !ok || typ != thriftBinary {
		return nil
	}
	return w.bytes()
}

// firstField is the number of the first field, 0 of an empty structure: which member a
// union has.
func (m message) firstField() int16 {
	w := thriftWalker(m)
	f, typ, err := w.head(0)
	if err != nil || typ == 0 {
		return 0
	}
	return int16(f)
}

// count is the length of a list; 0 where it is missing.
func (m message) count(id int16) int {
	typ, w, ok := m.find(id)
	if !ok || typ != thriftList {
		return 0
	}
	_, n, err := w.listHead()
	if err != nil {
		return 0
	}
	return n
}

// messages calls do with each structure of a list, until that returns false.
func (m message) messages(id int16, do func(i int, e message) bool) {
	typ, w, ok := m.find(id)
	if !ok || typ != thriftList {
		return
	}
	elem, n, err := w.listHead()
	if err != nil || elem != thriftStructType {
		return
	}
	for i := range n {
		if !do(i, message(w)) || w.structure(0) != nil {
			return
		}
	}
}

// thriftWalker reads what is left of some bytes.
type thriftWalker struct{ b []byte }

func (w *thriftWalker) corrupt(why string) error {
	return errs.Because(errs.ErrCorrupt, "Thrift: "+why)
}

func (w *thriftWalker) byte() (byte, error) {
	if len(w.b) == 0 {
		return 0, w.corrupt("truncated")
	}
	c := w.b[0]
	w.b = w.b[1:]
	return c, nil
}

func (w *thriftWalker) uvarint() (uint64, error) {
	v, n := binary.Uvarint(w.b)
	if n <= 0 {
		return 0, w.corrupt("bad number")
	}
	w.b = w.b[n:]
	return v, nil
}

func (w *thriftWalker) zigzag() (int64, error) {
	v, err := w.uvarint()
	return int64(v>>1) ^ -int64(v&1), err
}

func (w *thriftWalker) skip(n uint64) error {
	if n > uint64(len(w.b)) {
		return w.corrupt(fmt.Sprintf("%d bytes are claimed, %d are left", n, len(w.b)))
	}
	w.b = w.b[n:]
	return nil
}

// bytes reads a string that has been walked.
func (w *thriftWalker) bytes() []byte {
	n, err := w.uvarint()
	if err != nil || n > uint64(len(w.b)) {
		return nil
	}
	return w.b[:n]
}

// head reads the head of a field that follows field last; typ is 0 at the end.
func (w *thriftWalker) head(last int64) (field int64, typ byte, err error) {
	head, err := w.byte()
	if err != nil || head == 0 {
		return 0, 0, err
	}
	if delta := head >> 4; delta != 0 {
		field = last + int64(delta)
	} else if field, err = w.zigzag(); err != nil {
		return 0, 0, err
	}
	if typ = head & 15; typ == 0 || field != int64(int16(field)) {
		return 0, 0, w.corrupt("bad field")
	}
	return field, typ, nil
}

func (w *thriftWalker) structure(depth int) error {
	if depth > maxThriftDepth {
		return w.corrupt("nested too deep")
	}
	for field := int64(0); ; {
		f, typ, err := w.head(field)
		if err != nil || typ == 0 {
			return err
		}
		field = f
		if err := w.fieldValue(typ, depth); err != nil {
			return err
		}
	}
}

// fieldValue walks the value of a field: a truth value has no bytes there.
func (w *thriftWalker) fieldValue(typ byte, depth int) error {
	if typ == thriftTrue || typ == thriftFalse {
		return nil
	}
	return w.value(typ, depth)
}

// listHead reads the type of a list's elements, and how many there are.
func (w *thriftWalker) listHead() (elem byte, n int, err error) {
	head, err := w.byte()
	if err != nil {
		return 0, 0, err
	}
	claimed := uint64(head >> 4)
	if claimed == 15 {
		if claimed, err = w.uvarint(); err != nil {
			return 0, 0, err
		}
	}
	if claimed > uint64(len(w.b)) { // an element takes a byte at least
		return 0, 0, w.corrupt(fmt.Sprintf("a list claims %d elements, %d bytes are left", claimed, len(w.b)))
	}
	return head & 15, int(claimed), nil
}

// value walks an element of a list or map, or a field that is no truth value.
func (w *thriftWalker) value(typ byte, depth int) error {
	if depth > maxThriftDepth {
		return w.corrupt("nested too deep")
	}
	switch typ {
	case thriftTrue, thriftFalse, thriftByte:
		return w.skip(1)
	case thriftI16, thriftI32, thriftI64:
		_, err := w.uvarint()
		return err
	case thriftDouble:
		return w.skip(8)
	case thriftBinary:
		n, err := w.uvarint()
		if err != nil {
			return err
		}
		return w.skip(n)
	case thriftList, thriftSet:
		elem, n, err := w.listHead()
		for i := 0; i < n && err == nil; i++ {
			err = w.value(elem, depth+1)
		}
		return err
	case thriftMap:
		return w.pairs(depth)
	case thriftStructType:
		return w.structure(depth + 1)
	}
	return w.corrupt(fmt.Sprintf("unknown type %d", typ))
}

// pairs walks a map.
func (w *thriftWalker) pairs(depth int) error {
	n, err := w.uvarint()
	if err != nil || n == 0 {
		return err
	}
	kinds, err := w.byte()
	if err != nil {
		return err
	}
	if n > uint64(len(w.b))/2 {
		return w.corrupt(fmt.Sprintf("a map claims %d pairs, %d bytes are left", n, len(w.b)))
	}
	for range n {
		if err := w.value(kinds>>4, depth+1); err != nil {
			return err
		}
		if err := w.value(kinds&15, depth+1); err != nil {
			return err
		}
	}
	return nil
}
