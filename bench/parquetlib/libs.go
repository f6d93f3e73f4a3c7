package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	ours "resslt/ingest/parquet"

	arrow "github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/parquet-go/parquet-go"
)

// reader reads a column of bytes of a file by one of the libraries.
type reader interface {
	// scan calls do with every value, nil for a null. The value is valid until do returns.
	scan(do func(v []byte)) error
	// row is the value of one row.
	row(i int64) ([]byte, error)
}

// library opens a file's column; empty column: the first column of bytes.
type library struct {
	name string
	open func(r io.ReaderAt, size int64, column string) (reader, error)
}

var libraries = []library{
	{"ours", openOurs},
	{"parquet-go", openParquetGo},
	{"arrow-go", openArrow},
}

// ourReader is resslt/ingest/parquet, used as package ingest does: pages are found by a
// scan, which the index of a data set keeps.
type ourReader struct {
	r     withContext
	col   *ours.Column
	pages []int64
	first []int64 // the first row of each page
}

type withContext struct{ r io.ReaderAt }

func (c withContext) ReadAt(_ context.Context, p []byte, off int64) (int, error) {
	return c.r.ReadAt(p, off)
}

func openOurs(r io.ReaderAt, size int64, column string) (reader, error) {
	f, err := ours.Open(context.Background(), withContext{r}, size)
	if err != nil {
		return nil, err
	}
	for _, l := range f.Leaves() {
		if l.Path == column {
			col, err := f.Column(l)
			return &ourReader{r: withContext{r}, col: col}, err
		}
	}
	return nil, fmt.Errorf("no column %q", column)
}

func (o *ourReader) scan(do func([]byte)) error {
	var row int64
	o.pages, o.first = nil, nil
	return o.col.Each(context.Background(), o.r, func(page int64, v []byte) error {
		if n := len(o.pages); n == 0 || o.pages[n-1] != page {
			o.pages, o.first = append(o.pages, page), append(o.first, row)
		}
		row++
		do(v)
		return nil
	})
}

func (o *ourReader) row(i int64) ([]byte, error) {
	p := len(o.first) - 1
	for o.first[p] > i {
		p--
	}
	var next int64
	if p+1 < len(o.pages) {
		next = o.pages[p+1]
	}
	values, err := o.col.Page(context.Background(), o.r, o.pages[p], next)
	if err != nil {
		return nil, err
	}
	return values[i-o.first[p]], nil
}

// goReader is parquet-go.
type goReader struct {
	f      *parquet.File
	column int
}

func openParquetGo(r io.ReaderAt, size int64, column string) (reader, error) {
	f, err := parquet.OpenFile(r, size)
	if err != nil {
		return nil, err
	}
	leaf, ok := f.Schema().Lookup(strings.Split(column, ".")...)
	if !ok {
		return nil, fmt.Errorf("no column %q", column)
	}
	return &goReader{f, leaf.ColumnIndex}, nil
}

func (g *goReader) scan(do func([]byte)) error {
	buf := make([]parquet.Value, 64)
	for _, group := range g.f.RowGroups() {
		if err := eachPage(group.ColumnChunks()[g.column].Pages(), buf, do); err != nil {
			return err
		}
	}
	return nil
}

func eachPage(pages parquet.Pages, buf []parquet.Value, do func([]byte)) error {
	defer pages.Close()
	for {
		p, err := pages.ReadPage()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		err = eachValue(p.Values(), buf, do)
		parquet.Release(p)
		if err != nil {
			return err
		}
	}
}

func eachValue(values parquet.ValueReader, buf []parquet.Value, do func([]byte)) error {
	for {
		n, err := values.ReadValues(buf)
		for _, v := range buf[:n] {
			do(valueBytes(v))
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if n == 0 {
			return io.ErrNoProgress
		}
	}
}

func valueBytes(v parquet.Value) []byte {
	if v.IsNull() {
		return nil
	}
	if b := v.ByteArray(); b != nil {
		return b
	}
	return []byte{}
}

func (g *goReader) row(i int64) ([]byte, error) {
	for _, group := range g.f.RowGroups() {
		if i >= group.NumRows() {
			i -= group.NumRows()
			continue
		}
		pages := group.ColumnChunks()[g.column].Pages()
		defer pages.Close()
		if err := pages.SeekToRow(i); err != nil {
			return nil, err
		}
		p, err := pages.ReadPage()
		if err != nil {
			return nil, err
		}
		defer parquet.Release(p)
		var v [1]parquet.Value
		if n, err := p.Values().ReadValues(v[:]); n != 1 {
			return nil, fmt.Errorf("%d values: %w", n, err)
		}
		return append([]byte{}, valueBytes(v[0])...), nil
	}
	return nil, io.EOF
}

// arrowReader is arrow-go, with buffered streams: otherwise it reads a column's whole
// part of a row group at once.
type arrowReader struct {
	f      *file.Reader
	column int
}

func openArrow(r io.ReaderAt, size int64, column string) (reader, error) {
	props := arrow.NewReaderProperties(nil)
	props.BufferedStreamEnabled = true
	f, err := file.NewParquetReader(io.NewSectionReader(r, 0, size), file.WithReadProps(props))
	if err != nil {
		return nil, err
	}
	i := f.MetaData().Schema.ColumnIndexByName(column)
	if i < 0 {
		return nil, fmt.Errorf("no column %q", column)
	}
	return &arrowReader{f, i}, nil
}

func (a *arrowReader) chunk(group int) (*file.ByteArrayColumnChunkReader, error) {
	c, err := a.f.RowGroup(group).Column(a.column)
	if err != nil {
		return nil, err
	}
	b, ok := c.(*file.ByteArrayColumnChunkReader)
	if !ok {
		return nil, fmt.Errorf("column of %T", c)
	}
	return b, nil
}

func (a *arrowReader) scan(do func([]byte)) error {
	for g := range a.f.NumRowGroups() {
		if err := a.scanGroup(g, do); err != nil {
			return err
		}
	}
	return nil
}

func (a *arrowReader) scanGroup(g int, do func([]byte)) error {
	c, err := a.chunk(g)
	if err != nil {
		return err
	}
	defer c.Close()
	const batch = 64
	values, levels := make([]arrow.ByteArray, batch), make([]int16, batch)
	top := c.Descriptor().MaxDefinitionLevel()
	for c.HasNext() {
		n, _, err := c.ReadBatchInPage(batch, values, levels, nil) // ReadBatch's values need not outlive their page
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
		k := 0
		for i := range n {
			if top > 0 && levels[i] < top {
				do(nil)
				continue
			}
			do(notNil(values[k]))
			k++
		}
	}
	return c.Err()
}

func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

func (a *arrowReader) row(i int64) ([]byte, error) {
	for g := range a.f.NumRowGroups() {
		if n := a.f.RowGroup(g).NumRows(); i >= n {
			i -= n
			continue
		}
		c, err := a.chunk(g)
		if err != nil {
			return nil, err
		}
		defer c.Close()
		if err := c.SeekToRow(i); err != nil {
			return nil, err
		}
		values, levels := make([]arrow.ByteArray, 1), make([]int16, 1)
		if n, _, err := c.ReadBatch(1, values, levels, nil); n != 1 || err != nil {
			return nil, fmt.Errorf("%d values: %w", n, err)
		}
		return append([]byte{}, values[0]...), nil
	}
	return nil, io.EOF
}
