package detectron2

import (
	"bufio"
	"encoding/binary"
	"io"
	"math"

	"resslt/schemas/errs"
	"resslt/train/safetensors"
)

// Opcodes of pickle's protocol 3, from the documentation of Python's pickletools.
const (
	opProto      = 0x80
	opMark       = '('
	opEmptyDict  = '}'
	opSetItems   = 'u'
	opSetItem    = 's'
	opUnicode    = 'X' // 4-byte length, UTF-8
	opBytes      = 'B' // 4-byte length
	opInt        = 'J' // 4 bytes
	opTuple      = 't' // since the last mark
	opTuple1     = 0x85
	opTuple3     = 0x87
	opGlobal     = 'c' // module and name, one on each line
	opReduce     = 'R'
	opTrue       = 0x88
	opStop       = '.'
	pickleFormat = 3
)

// pickler writes opcodes; bufio.Writer keeps the first error.
type pickler struct{ *bufio.Writer }

func (p pickler) op(ops ...byte) { p.Write(ops) }

func (p pickler) sized(op byte, n int) {
	p.op(op)
	p.Write(binary.LittleEndian.AppendUint32(nil, uint32(n)))
}

func (p pickler) text(s string) {
	p.sized(opUnicode, len(s))
	p.WriteString(s)
}

func (p pickler) global(module, name string) {
	p.op(opGlobal)
	p.WriteString(module + "\n" + name + "\n")
}

// array is numpy.array(numpy.ndarray(shape, '<f4', bytes)): the outer call makes a
// writable copy.
func (p pickler) array(t safetensors.Tensor) {
	p.global("numpy", "array")
	p.global("numpy", "ndarray")
	p.op(opMark)
	for _, n := range t.Shape {
		p.sized(opInt, int(n))
	}
	p.op(opTuple)
	p.text("<f4")
	p.sized(opBytes, len(t.Data))
	p.Write(t.Data)
	p.op(opTuple3, opReduce, opTuple1, opReduce)
}

// Write writes converted float32 tensors as detectron2's pickle. Errors are w's, or wrap
// errs.ErrTooLarge for a tensor of 2 GiB or more.
func Write(w io.Writer, tensors []safetensors.Tensor) error {
	p := pickler{bufio.NewWriterSize(w, 1<<20)}
	p.op(opProto, pickleFormat, opEmptyDict, opMark)
	p.text("model")
	p.op(opEmptyDict)
	for _, t := range tensors {
		if len(t.Data) > math.MaxInt32 {
			return errs.New("export to detectron2", t.Name, "use --format torchvision", errs.ErrTooLarge)
		}
		p.text(t.Name)
		p.array(t)
		p.op(opSetItem)
	}
	p.text("__author__")
	p.text("resslt")
	p.text("matching_heuristics")
	p.op(opTrue, opSetItems, opStop)
	return p.Flush()
}
