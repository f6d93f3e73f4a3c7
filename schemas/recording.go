package schemas

import (
	"encoding/json"

	"resslt/schemas/errs"

	"github.com/apache/arrow/go/v15/arrow"
)

// Versions of the Arrow schemas of a recording's files, kept in their metadata under
// MetaVersion.
const (
	RecordLogVersion    = "record-log/1"
	RecordPixelsVersion = "record-pixels/1"
)

// Keys of the metadata of a recording's schemas.
const (
	MetaVersion = "resslt"
	MetaRun     = "resslt.run" // RunInfo, JSON
)

// Columns of a recording before those of the views. From RecColSlot on they are those of a
// view batch. After them come each view's pixels, where they are recorded, and its plan.
const (
	RecColStep    = 0 // int64
	RecColChunk   = 1 // int32: chunk of the step
	RecColDigest  = 2 // FixedSizeBinary(32): SHA-256 of the chunk's body as it was published
	RecColSlot    = 3 // int32
	RecColSample  = 4 // int64; Unmade where the chunk could not be made
	RecColLabel   = 5 // int32
	RecColPlanned = 6 // int64
	RecColReason  = 7 // utf8: why the sample was replaced, or the chunk not made
)

// Unmade is the sample of a slot whose chunk became a tombstone.
const Unmade int64 = -1

// RecordSchema is the schema of a recording's files, one row for each slot: the recipe log, or
// with pixels the views themselves. Its metadata name the run, so that a file says by
// itself which run it belongs to.
func RecordSchema(run *RunInfo, pixels bool) (*arrow.Schema, error) {
	text, err := json.Marshal(run)
	if err != nil {
		return nil, errs.New("record schema", run.Digest, "report this as a bug", errs.BecauseErr(errs.ErrUsage, err))
	}
	fields := []arrow.Field{
		{Name: "step", Type: arrow.PrimitiveTypes.Int64},
		{Name: "chunk", Type: arrow.PrimitiveTypes.Int32},
		{Name: "digest", Type: &arrow.FixedSizeBinaryType{ByteWidth: 32}},
	}
	version := RecordLogVersion
	if pixels {
		version = RecordPixelsVersion
	}
	views := ViewBatchSchema(run.Spec.Views)
	fields = append(fields, views.Fields()[:colViews]...)
	for v := range run.Spec.Views {
		if pixels {
			fields = append(fields, views.Field(PixelsColumn(v)))
		}
		fields = append(fields, views.Field(planColumn(v)))
	}
	meta := arrow.NewMetadata([]string{MetaVersion, MetaRun}, []string{version, string(text)})
	return arrow.NewSchema(fields, &meta), nil
}
