package layout

import (
	"fmt"
	"slices"

	flatbuffers "github.com/google/flatbuffers/go"
)

// Slots and numbers of Schema.fbs.
const (
	fbSchemaEndianness = 4
	fbSchemaFields     = 6
	fbFieldName        = 4
	fbFieldNullable    = 6
	fbFieldTypeType    = 8
	fbFieldType        = 10
	fbFieldDictionary  = 12
	fbFieldChildren    = 14

	fbTypeInt             = 2
	fbTypeBinary          = 4
	fbTypeUtf8            = 5
	fbTypeFixedSizeBinary = 15
)

// SameFields reports whether a schema message's metadata, which is not trusted, say the
// same of the columns as the layout's own: names, types and order. Another writer's message
// has other bytes for the same schema. Errors match ErrCorrupt.
func (l *Layout) SameFields(meta []byte) (bool, error) {
	n, err := MetadataLength(l.prefix, int64(len(l.prefix)))
	if err != nil {
		return false, err
	}
	want, err := fields(l.prefix[PrefixBytes : PrefixBytes+n])
	if err != nil {
		return false, err
	}
	have, err := fields(meta)
	return err == nil && slices.Equal(have, want), err
}

// fields describes the columns of a schema message, of the types that our schemas have.
func fields(meta []byte) (out []string, err error) {
	defer func() {
		if p := recover(); p != nil {
			out, err = nil, corrupt("schema fields point outside themselves")
		}
	}()
	msg, err := message(meta, fbHeaderSchema)
	if err != nil {
		return nil, err
	}
	if msg.header.GetInt16Slot(fbSchemaEndianness, 0) != 0 {
		return nil, corrupt("a big-endian schema")
	}
	list, n := msg.header.vector(fbSchemaFields)
	if n > len(meta)/4 {
		return nil, corrupt("%d columns in the schema", n)
	}
	for i := range n {
		f := table{flatbuffers.Table{Bytes: meta, Pos: msg.header.Indirect(list + flatbuffers.UOffsetT(4*i))}}
		text, err := describeField(f)
		if err != nil {
			return nil, err
		}
		out = append(out, text)
	}
	return out, nil
}

// describeField is a column's name and type.
func describeField(f table) (string, error) {
	name := string(f.bytesAt(fbFieldName))
	_, children := f.vector(fbFieldChildren)
	if children > 0 || f.Offset(fbFieldDictionary) != 0 || f.GetBoolSlot(fbFieldNullable, false) {
		return "", corrupt("column %.40q is nested, encoded by a dictionary, or may have nulls", name)
	}
	kind := f.GetByteSlot(fbFieldTypeType, 0)
	var t table
	if o := flatbuffers.UOffsetT(f.Offset(fbFieldType)); o != 0 {
		f.Union(&t.Table, o)
	} else {
		return "", corrupt("column %.40q has no type", name)
	}
	switch kind {
	case fbTypeInt:
		return fmt.Sprintf("%q int %d %v", name, t.GetInt32Slot(4, 0), t.GetBoolSlot(6, false)), nil
	case fbTypeFixedSizeBinary:
		return fmt.Sprintf("%q bytes %d", name, t.GetInt32Slot(4, 0)), nil
	case fbTypeBinary, fbTypeUtf8:
		return fmt.Sprintf("%q type %d", name, kind), nil
	}
	return "", corrupt("column %.40q is of Arrow's type %d", name, kind)
}
