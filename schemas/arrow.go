package schemas

import (
	"strconv"

	"github.com/apache/arrow/go/v15/arrow"
)

// Versions of the two Arrow schemas, kept in their metadata under "resslt".
const (
	viewBatchVersion = "view-batch/1"
	taskBatchVersion = "task-batch/1"
)

// Columns of a view batch: slot, sample, label, planned and reason, then two for
// each view. The package's comment says what they hold.
const (
	ColReason = 4
	colViews  = 5
)

// PixelsColumn is the column of view v's pixels in a view batch.
func PixelsColumn(v int) int { return colViews + 2*v }

// planColumn is the column of view v's plans.
func planColumn(v int) int { return colViews + 2*v + 1 }

// ViewBatchSchema is the schema of a run's chunks. Pixels are FixedSizeBinary
// (3·S·S) with their layout in the field's metadata, since Arrow's Go library has
// no tensor type. Plans are in augment's binary encoding.
func ViewBatchSchema(views []ViewSpec) *arrow.Schema {
	fields := []arrow.Field{
		{Name: "slot", Type: arrow.PrimitiveTypes.Int32},
		{Name: "sample", Type: arrow.PrimitiveTypes.Int64},
		{Name: "label", Type: arrow.PrimitiveTypes.Int32},
		{Name: "planned", Type: arrow.PrimitiveTypes.Int64},
		{Name: "reason", Type: arrow.BinaryTypes.String},
	}
	for _, v := range views {
		s := strconv.Itoa(v.Size)
		meta := arrow.NewMetadata(
			[]string{"shape", "layout", "channels", "role"},
			[]string{s + "," + s + ",3", "HWC", "RGB", string(v.Role)})
		fields = append(fields,
			arrow.Field{Name: v.Name + ".pixels", Type: &arrow.FixedSizeBinaryType{ByteWidth: v.Bytes()}, Metadata: meta},
			arrow.Field{Name: v.Name + ".plan", Type: arrow.BinaryTypes.Binary})
	}
	meta := arrow.NewMetadata([]string{"resslt"}, []string{viewBatchVersion})
	return arrow.NewSchema(fields, &meta)
}

// TaskBatchSchema is the schema of a task: one row for each sample to visit.
func TaskBatchSchema() *arrow.Schema {
	meta := arrow.NewMetadata([]string{"resslt"}, []string{taskBatchVersion})
	return arrow.NewSchema([]arrow.Field{
		{Name: "slot", Type: arrow.PrimitiveTypes.Int32},
		{Name: "sample", Type: arrow.PrimitiveTypes.Int64},
		{Name: "index", Type: arrow.PrimitiveTypes.Int64},
	}, &meta)
}
