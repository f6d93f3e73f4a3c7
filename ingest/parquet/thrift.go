package parquet

import (
	"encoding/binary"
	"fmt"

	"resslt/schemas/errs"
)

// Parquet keeps its footer and page headers in Thrift's compact protocol. The
// generated reader allocates lists of whatever length they claim, a crash that no
// recover can stop. So this file walks every such structure first: it checks each
// length against the bytes that are there, and allocates nothing by it.

// thriftStruct is what the walk keeps of a structure: numbers, structures and lengths
// of lists, by field. The contents of lists are walked but not kept.
type thriftStruct struct {
	ints    map[int16]int64
	structs map[int16]*thriftStruct
	lists   map[int16]int
}

// at is the structure in a field; an empty one if it is missing.
func (s *thriftStruct) at(field int16) *thriftStruct {
	if t := s.structs[field]; t != nil {
		return t
	}
	return &thriftStruct{}
}

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
func walkThrift(b []byte) (s *thriftStruct, n int, err error) {
	w := &thriftWalker{b: b}
	s, err = w.structure(0, true)
	return s, len(b) - len(w.b), err
}

type thriftWalker struct{ b []byte } // what is left

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

func (w *thriftWalker) structure(depth int, keep bool) (*thriftStruct, error) {
	if depth > maxThriftDepth {
		return nil, w.corrupt("nested too deep")
	}
	var s *thriftStruct
	if keep {
		s = &thriftStruct{ints: map[int16]int64{}, structs: map[int16]*thriftStruct{}, lists: map[int16]int{}}
	}
	var field int64
	for {
		head, err := w.byte()
		if err != nil {
			return nil, err
		}
		if head == 0 {
			return s, nil
		}
		if delta := head >> 4; delta != 0 {
			field += int64(delta)
		} else if field, err = w.zigzag(); err != nil {
			return nil, err
		}
		if field != int64(int16(field)) {
			return nil, w.corrupt("bad field")
		}
		at := int16(field)
		switch typ := head & 15; typ {
		case thriftTrue, thriftFalse: // the value is the type
			if keep {
				s.ints[at] = int64(thriftFalse - typ)
			}
		case thriftI16, thriftI32, thriftI64:
			v, err := w.zigzag()
			if err != nil {
				return nil, err
			}
			if keep {
				s.ints[at] = v
			}
		case thriftStructType:
			t, err := w.structure(depth+1, keep)
			if err != nil {
				return nil, err
			}
			if keep {
				s.structs[at] = t
			}
		case thriftList, thriftSet:
			n, err := w.list(depth)
			if err != nil {
				return nil, err
			}
			if keep {
				s.lists[at] = n
			}
		default:
			if err := w.value(typ, depth); err != nil {
				return nil, err
			}
		}
	}
}

// list walks a list or set and returns its length.
func (w *thriftWalker) list(depth int) (int, error) {
	head, err := w.byte()
	if err != nil {
		return 0, err
	}
	n := uint64(head >> 4)
	if n == 15 {
		if n, err = w.uvarint(); err != nil {
			return 0, err
		}
	}
	if n > uint64(len(w.b)) { // an element takes a byte at least
		return 0, w.corrupt(fmt.Sprintf("a list claims %d elements, %d bytes are left", n, len(w.b)))
	}
	for range n {
		if err := w.value(head&15, depth); err != nil {
			return 0, err
		}
	}
	return int(n), nil
}

// value walks an element of a list or map, or a field of any other type.
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
		_, err := w.list(depth + 1)
		return err
	case thriftMap:
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
	case thriftStructType:
		_, err := w.structure(depth+1, false)
		return err
	}
	return w.corrupt(fmt.Sprintf("unknown type %d", typ))
}
