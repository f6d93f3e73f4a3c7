package layout

import (
	"fmt"
	"slices"

	"resslt/schemas/errs"

	flatbuffers "github.com/google/flatbuffers/go"
)

// Slots and numbers of Schema.fbs.
const (
	fbSchemaEndianness = 4
	fbSchemaFields     = 6
	fbFooterSchema     = 6
	fbFieldName        = 4
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
// has other bytes for the same schema. Errors match ErrCorrupt, or ErrUnsupported for a type
// that no schema of ours has.
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

// SameFooter reports whether a file's footer, which is not trusted, says the same of the columns
// as the layout's own.
func (l *Layout) SameFooter(footer []byte) bool {
	n, err := MetadataLength(l.prefix, int64(len(l.prefix)))
	if err != nil {
		return false
	}
	want, err := fields(l.prefix[PrefixBytes : PrefixBytes+n])
	if err != nil {
		return false
	}
	have, err := guarded(func() ([]string, error) {
		t := table{flatbuffers.Table{Bytes: footer, Pos: flatbuffers.GetUOffsetT(footer)}}
		o := flatbuffers.UOffsetT(t.Offset(fbFooterSchema))
		if o == 0 {
			return nil, corrupt("a footer without a schema")
		}
		return describe(table{flatbuffers.Table{Bytes: footer, Pos: t.Indirect(o + t.Pos)}})
	})
	return err == nil && slices.Equal(have, want)
}

// fields describes the columns of a schema message.
func fields(meta []byte) ([]string, error) {
	return guarded(func() ([]string, error) {
		msg, err := message(meta, fbHeaderSchema)
		if err != nil {
			return nil, err
		}
		return describe(msg.header)
	})
}

// guarded is read, where an offset that points outside its bytes is an error.
func guarded(read func() ([]string, error)) (out []string, err error) {
	defer func() {
		if p := recover(); p != nil {
			out, err = nil, corrupt("schema fields point outside themselves")
		}
	}()
	return read()
}

// describe describes the columns of a schema, of the types that our schemas have.
func describe(schema table) (out []string, err error) {
	if schema.GetInt16Slot(fbSchemaEndianness, 0) != 0 {
		return nil, errs.Because(errs.ErrUnsupported, "a big-endian schema")
	}
	list, n := schema.vector(fbSchemaFields)
	if n > min(len(schema.Bytes)/4, maxFields) {
		return nil, corrupt("%d columns in the schema", n)
	}
	for i := range n {
		f := table{flatbuffers.Table{Bytes: schema.Bytes, Pos: schema.Indirect(list + flatbuffers.UOffsetT(4*i))}}
		text, err := describeField(f)
		if err != nil {
			return nil, err
		}
		out = append(out, text)
	}
	return out, nil
}

// describeField is a column's name and type. One that may have nulls is described as one that
// may not: Open sees that it has none. A type that our schemas do not have is ErrUnsupported.
func describeField(f table) (string, error) {
	name := string(f.bytesAt(fbFieldName))
	if len(name) > maxName {
		return "", corrupt("a column whose name has %d bytes", len(name))
	}
	other := func(kind string) error {
		return errs.Because(errs.ErrUnsupported, fmt.Sprintf("column %.40q is %s: write it with the type that resslt gave it", name, kind))
	}
	if f.Offset(fbFieldDictionary) != 0 {
		return "", other("encoded by a dictionary")
	}
	kind := f.GetByteSlot(fbFieldTypeType, 0)
	var t table
	if o := flatbuffers.UOffsetT(f.Offset(fbFieldType)); o != 0 {
		f.Union(&t.Table, o)
	} else {
		return "", corrupt("column %.40q has no type", name)
	}
	if _, children := f.vector(fbFieldChildren); children > 0 {
		return "", other("nested")
	}
	switch kind {
	case fbTypeInt:
		return fmt.Sprintf("%q int %d %v", name, t.GetInt32Slot(4, 0), t.GetBoolSlot(6, false)), nil
	case fbTypeFixedSizeBinary:
		return fmt.Sprintf("%q bytes %d", name, t.GetInt32Slot(4, 0)), nil
	case fbTypeBinary, fbTypeUtf8:
		return fmt.Sprintf("%q type %d", name, kind), nil
	}
	if int(kind) < len(typeNames) && typeNames[kind] != "" {
		return "", other("of type " + typeNames[kind])
	}
	return "", other(fmt.Sprintf("of Arrow's type %d", kind))
}

// Bounds of a schema that is not trusted: bytes of a column's name, and columns. A run has 64
// views at most.
const (
	maxName   = 256
	maxFields = 1024
)

// typeNames are those of Schema.fbs that other writers make of ours.
var typeNames = [...]string{
	3: "floating point", 6: "bool", 7: "decimal", 8: "date", 10: "timestamp", 12: "list", 13: "struct",
	16: "fixed_size_list", 17: "map", 19: "large_binary", 20: "large_utf8", 21: "large_list", 22: "run_end_encoded",
	23: "binary_view", 24: "utf8_view",
}
