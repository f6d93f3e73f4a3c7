package main

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/ipc"
	"github.com/apache/arrow/go/v15/parquet"
	"github.com/apache/arrow/go/v15/parquet/compress"
	"github.com/apache/arrow/go/v15/parquet/file"
	"github.com/apache/arrow/go/v15/parquet/metadata"
	"github.com/apache/arrow/go/v15/parquet/schema"
)

// featureColumn is the leaf of the vectors in a Parquet file.
const featureColumn = "feature.list.element"

// writeParquet writes a Parquet file, a row group for each part. The vectors are neither put into
// dictionaries nor is it known where the least is: no reader asks for that. The Arrow schema stands
// in the file, so that readers have a list of fixed size again. (Arrow's own bridge to Parquet,
// package pqarrow, would add 20 MB to the program: Flight and gRPC.)
func writeParquet(w io.Writer, p *parts) error {
	root, err := parquetSchema()
	if err != nil {
		return err
	}
	var own bytes.Buffer
	if err := ipc.NewWriter(&own, ipc.WithSchema(featureSchema(p.plan.Dim))).Close(); err != nil {
		return err
	}
	meta := metadata.NewKeyValueMetadata()
	if err := meta.Append("ARROW:schema", base64.StdEncoding.EncodeToString(own.Bytes())); err != nil {
		return err
	}
	// The writer closes what can be closed, and the file is not its own.
	out := file.NewParquetWriter(struct{ io.Writer }{w}, root, file.WithWriteMetadata(meta), file.WithWriterProps(parquet.NewWriterProperties(
		parquet.WithCompression(compress.Codecs.Zstd), parquet.WithCreatedBy("resslt"), parquet.WithDictionaryFor("key", false),
		parquet.WithDictionaryFor(featureColumn, false), parquet.WithStatsFor(featureColumn, false))))
	return errors.Join(p.each(func(rec arrow.Record) error { return writeRowGroup(out, rec, p.plan.Dim) }), out.Close())
}

// parquetSchema is key (string), label (int32) and feature, a list of float32; nothing is null.
func parquetSchema() (*schema.GroupNode, error) {
	key, err := schema.NewPrimitiveNodeLogical("key", parquet.Repetitions.Required, schema.StringLogicalType{}, parquet.Types.ByteArray, 0, -1)
	if err != nil {
		return nil, err
	}
	element := schema.NewFloat32Node("element", parquet.Repetitions.Required, -1)
	list, err := schema.NewGroupNode("list", parquet.Repetitions.Repeated, schema.FieldList{element}, -1)
	if err != nil {
		return nil, err
	}
	feature, err := schema.NewGroupNodeLogical("feature", parquet.Repetitions.Required, schema.FieldList{list}, schema.NewListLogicalType(), -1)
	if err != nil {
		return nil, err
	}
	return schema.NewGroupNode("schema", parquet.Repetitions.Required,
		schema.FieldList{key, schema.NewInt32Node("label", parquet.Repetitions.Required, -1), feature}, -1)
}

// writeRowGroup writes the rows of a part.
func writeRowGroup(out *file.Writer, rec arrow.Record, dim int) error {
	group := out.AppendRowGroup()
	for i := range int(rec.NumCols()) {
		column, err := group.NextColumn()
		if err != nil {
			return err
		}
		switch c := column.(type) {
		case *file.ByteArrayColumnChunkWriter:
			keys := rec.Column(i).(*array.String)
			values := make([]parquet.ByteArray, keys.Len())
			for row := range values {
				values[row] = parquet.ByteArray(keys.Value(row))
			}
			_, err = c.WriteBatch(values, nil, nil)
		case *file.Int32ColumnChunkWriter:
			_, err = c.WriteBatch(rec.Column(i).(*array.Int32).Int32Values(), nil, nil)
		case *file.Float32ColumnChunkWriter:
			values := rec.Column(i).(*array.FixedSizeList).ListValues().(*array.Float32).Float32Values()
			defined, repeated := make([]int16, len(values)), make([]int16, len(values))
			for n := range values {
				defined[n] = 1
				if n%dim != 0 {
					repeated[n] = 1
				}
			}
			_, err = c.WriteBatch(values, defined, repeated)
		default:
			err = fmt.Errorf("column %d is a %T", i, c)
		}
		if err = errors.Join(err, column.Close()); err != nil {
			return err
		}
	}
	return group.Close()
}
