package schemas

import (
	"strconv"

	"github.com/apache/arrow/go/v15/arrow"
)

// Versions of the two Arrow schemas, kept in their metadata under "resslt".
const (
	ViewBatchVersion = "view-batch/1"
	TaskBatchVersion = "task-batch/1"
)

// Columns of a view batch that come before the views.
const (
	ColSlot    = 0 // int32: row of the training batch
	ColSample  = 1 // int64: sample whose pixels these are
	ColLabel   = 2 // int32: class for evaluation, or NoLabel
	ColPlanned = 3 // int64: sample that the order asked for; differs from sample where replaced
	ColReason  = 4 // utf8: why it was replaced; empty where it was not
	ColViews   = 5 // first of two columns a view: pixels, plan
)

// Columns of a task batch.
const (
	TaskColSlot   = 0 // int32: row of the training batch
	TaskColSample = 1 // int64: sample to visit
	// TaskColIndex is the sample's place in the epoch's order (int64), from
	// which a replacement is found.
	TaskColIndex = 2
)

// PixelsColumn and PlanColumn are the columns of view v in a view batch.
func PixelsColumn(v int) int { return ColViews + 2*v }

// PlanColumn is the column of view v's plans.
func PlanColumn(v int) int { return ColViews + 2*v + 1 }

// ViewBatchSchema is the schema of a run's chunks. Pixels are FixedSizeBinary
// (3·S·S), their layout in the field's metadata, since Arrow's Go library has no
// tensor type; plans are augment's binary plan encoding.
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
	meta := arrow.NewMetadata([]string{"resslt"}, []string{ViewBatchVersion})
	return arrow.NewSchema(fields, &meta)
}

// TaskBatchSchema is the schema of a task: one row a sample to be visited.
func TaskBatchSchema() *arrow.Schema {
	meta := arrow.NewMetadata([]string{"resslt"}, []string{TaskBatchVersion})
	return arrow.NewSchema([]arrow.Field{
		{Name: "slot", Type: arrow.PrimitiveTypes.Int32},
		{Name: "sample", Type: arrow.PrimitiveTypes.Int64},
		{Name: "index", Type: arrow.PrimitiveTypes.Int64},
	}, &meta)
}
