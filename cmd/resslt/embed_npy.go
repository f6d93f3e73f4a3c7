package main

import (
	"archive/zip"
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
)

// npyHead begins an array of NumPy's format, version 1.0: magic, then a padded Python literal.
func npyHead(descr, shape string) string {
	head := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", descr, shape)
	const fixed, align = 10, 64
	head += strings.Repeat(" ", align-(fixed+len(head)+1)%align) + "\n"
	return "\x93NUMPY\x01\x00" + string(binary.LittleEndian.AppendUint16(nil, uint16(len(head)))) + head
}

// writeNPY writes the features alone, (N, D) float32.
func writeNPY(w io.Writer, p *parts) error {
	out := bufio.NewWriterSize(w, 1<<20)
	out.WriteString(npyHead("<f4", fmt.Sprintf("%d, %d", p.kept, p.plan.Dim)))
	err := p.each(func(rec arrow.Record) error {
		list := rec.Column(colFeature).(*array.FixedSizeList).ListValues().(*array.Float32)
		var b [4]byte
		for _, v := range list.Float32Values() {
			binary.LittleEndian.PutUint32(b[:], math.Float32bits(v))
			out.Write(b[:])
		}
		return nil
	})
	return errors.Join(err, out.Flush()) // Flush gives the first error of all the writes
}

// writeNPZ writes what numpy.load gives as keys (N) of text, labels (N) int32 and features (N, D)
// float32: a zip file of one array each, which are not compressed.
func writeNPZ(w io.Writer, p *parts) error {
	longest := 1 // of a key, in characters, which NumPy pads to one length
	err := p.each(func(rec arrow.Record) error {
		keys := rec.Column(0).(*array.String)
		for i := range keys.Len() {
			longest = max(longest, utf8.RuneCountInString(keys.Value(i)))
		}
		return nil
	})
	if err != nil {
		return err
	}
	z := zip.NewWriter(w)
	add := func(name string, write func(io.Writer) error) {
		if err == nil {
			var out io.Writer
			if out, err = z.CreateHeader(&zip.FileHeader{Name: name + ".npy", Method: zip.Store}); err == nil {
				err = write(out)
			}
		}
	}
	add("keys", func(w io.Writer) error { return writeKeys(w, p, longest) })
	add("labels", func(w io.Writer) error {
		out := bufio.NewWriterSize(w, 1<<20)
		out.WriteString(npyHead("<i4", fmt.Sprintf("%d,", p.kept)))
		err := p.each(func(rec arrow.Record) error {
			return binary.Write(out, binary.LittleEndian, rec.Column(1).(*array.Int32).Int32Values())
		})
		return errors.Join(err, out.Flush())
	})
	add("features", func(w io.Writer) error { return writeNPY(w, p) })
	return errors.Join(err, z.Close())
}

// writeKeys writes text as NumPy has it: UCS-4, each padded with zeros.
func writeKeys(w io.Writer, p *parts, longest int) error {
	out := bufio.NewWriterSize(w, 1<<20)
	out.WriteString(npyHead(fmt.Sprintf("<U%d", longest), fmt.Sprintf("%d,", p.kept)))
	cell := make([]byte, 4*longest)
	err := p.each(func(rec arrow.Record) error {
		keys := rec.Column(0).(*array.String)
		for i := range keys.Len() {
			clear(cell)
			at := 0
			for _, r := range keys.Value(i) {
				binary.LittleEndian.PutUint32(cell[at:], uint32(r))
				at += 4
			}
			out.Write(cell)
		}
		return nil
	})
	return errors.Join(err, out.Flush())
}
