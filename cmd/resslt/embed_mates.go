package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"resslt/schemas"
	"resslt/schemas/errs"
	"resslt/train/eval"
	"resslt/train/torch"
)

// checkMates refuses what a file of k mates for each image cannot be of.
func checkMates(k int, format string, skipBad bool) error {
	bad := func(hint, why string) error {
		return errs.New("embed", fmt.Sprintf("--mates %d", k), hint, errs.Because(errs.ErrUsage, why))
	}
	switch {
	case k < 1 || k > schemas.MaxMates:
		return bad(fmt.Sprintf("give 1 to %d; BINGO's authors have 5", schemas.MaxMates), "there are not so many mates")
	case format != "npy":
		return bad("leave --format out, and name --out FILE.npy", "mates are written as npy, not as "+format)
	case skipBad:
		return bad("leave --skip-bad out, and repair or remove the images that cannot be decoded", "every image needs its row")
	}
	return nil
}

// writeMates writes for each image the numbers of its k nearest others by cosine, nearest first,
// (N,k) int32: the FILE of data mates:FILE+URI.
func writeMates(ctx context.Context, w io.Writer, p *parts, k int, device torch.Device) error {
	set, err := p.set(device)
	if err != nil {
		return err
	}
	defer set.Free()
	near, err := eval.Neighbours(ctx, set, set, k)
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(w, 1<<20)
	out.WriteString(npyHead("<i4", fmt.Sprintf("%d, %d", len(near), k)))
	var b [4]byte
	for _, mates := range near {
		for _, m := range mates {
			binary.LittleEndian.PutUint32(b[:], uint32(m.Row))
			out.Write(b[:])
		}
	}
	return out.Flush() // gives the first error of all the writes
}

// set are the features of all parts, by the images' numbers.
func (p *parts) set(device torch.Device) (*eval.Set, error) {
	var values []float32
	var labels []int32
	var ids []int64
	err := p.each(func(rec arrow.Record) error {
		list := rec.Column(colFeature).(*array.FixedSizeList).ListValues().(*array.Float32)
		values = append(values, list.Float32Values()...)
		for _, label := range rec.Column(1).(*array.Int32).Int32Values() {
			labels, ids = append(labels, label), append(ids, int64(len(ids)))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	set, err := eval.NewSet(values, p.plan.Dim, labels, device)
	if err != nil {
		return nil, err
	}
	set.IDs = ids
	return set, nil
}
