package parquet

import (
	"fmt"
	"strings"

	"resslt/schemas/errs"
)

// Type is a column's physical type, numbered as in parquet.thrift.
type Type int64

// Physical types.
const (
	Boolean Type = iota
	Int32
	Int64
	Int96
	Float
	Double
	Bytes
	FixedBytes
)

var typeNames = [...]string{"BOOLEAN", "INT32", "INT64", "INT96", "FLOAT", "DOUBLE", "BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY"}

func (t Type) String() string {
	if t < 0 || int(t) >= len(typeNames) {
		return fmt.Sprintf("type %d", int64(t))
	}
	return typeNames[t]
}

// Leaf is a column of a file's schema.
type Leaf struct {
	Path     string // "image.bytes"
	Type     Type
	Text     bool // the bytes are a string
	Repeated bool // it is in a list or map: a row has any number of values

	index   int  // of its chunk in every row group
	scale   int  // of a decimal: its numbers are stored times 10^scale
	decimal bool // the values are decimals
	half    bool // the values are floats of 16 bits
	length  int  // bytes of a value of FixedBytes
	most    int  // definition level of a value that is there
}

// Fields of FileMetaData and SchemaElement, and values of some of them (parquet.thrift).
const (
	fileSchema    = 2
	fileRows      = 3
	fileRowGroups = 4
	fileKeyValues = 5

	schemaType       = 1
	schemaLength     = 2
	schemaRepetition = 3
	schemaName       = 4
	schemaChildren   = 5
	schemaConverted  = 6
	schemaScale      = 7
	schemaLogical    = 10

	optional = 1
	repeated = 2

	convertedUTF8    = 0
	convertedEnum    = 4
	convertedDecimal = 5
	convertedJSON    = 19

	logicalString  = 1
	logicalEnum    = 4
	logicalDecimal = 5
	logicalJSON    = 12
	logicalFloat16 = 15

	// maxSchemaElements and maxSchemaDepth cap what a schema may hold.
	maxSchemaElements = 10_000
	maxSchemaDepth    = 64
)

// branch is an element of the schema whose children are being read.
type branch struct {
	name     string
	left     int64 // children that are still to come
	most     int
	repeated bool
}

// readSchema lists the leaves of a footer's schema, a tree in depth-first order.
func readSchema(footer message) ([]Leaf, error) {
	fail := func(format string, a ...any) error {
		return errs.Because(errs.ErrCorrupt, "its schema can't be read: "+fmt.Sprintf(format, a...))
	}
	n := footer.count(fileSchema)
	if n > maxSchemaElements {
		return nil, errs.Because(errs.ErrTooLarge, fmt.Sprintf("a schema of %d elements", n))
	}
	var leaves []Leaf
	var path []branch
	var err error
	footer.messages(fileSchema, func(i int, e message) bool {
		name, children := string(e.text(schemaName)), e.int(schemaChildren)
		if children < 0 || children > int64(n) {
			err = fail("element %d claims %d children", i, children)
			return false
		}
		if i == 0 {
			path = append(path, branch{left: children})
			return true
		}
		for len(path) > 0 && path[len(path)-1].left == 0 {
			path = path[:len(path)-1]
		}
		if len(path) == 0 || len(path) > maxSchemaDepth {
			err = fail("element %d has no parent, or too many", i)
			return false
		}
		parent := &path[len(path)-1]
		parent.left--
		most, rep := parent.most, parent.repeated
		switch e.int(schemaRepetition) {
		case optional:
			most++
		case repeated:
			most, rep = most+1, true
		}
		if children > 0 {
			path = append(path, branch{name: name, left: children, most: most, repeated: rep})
			return true
		}
		var full []string
		for _, b := range path[1:] {
			full = append(full, b.name)
		}
		l := Leaf{
			Path: strings.Join(append(full, name), "."), Type: Type(e.int(schemaType)), Text: isText(e), Repeated: rep,
			index: len(leaves), length: int(e.int(schemaLength)), most: most,
		}
		l.scale, l.decimal = decimalScale(e)
		l.half = l.Type == FixedBytes && l.length == 2 && e.at(schemaLogical).firstField() == logicalFloat16
		if _, given := e.number(schemaType); !given { // a group without children, which some writers leave
			l.Type = -1
		}
		leaves = append(leaves, l)
		return true
	})
	if err == nil && len(leaves) == 0 {
		err = fail("it has no columns")
	}
	return leaves, err
}

// isText reports whether a leaf's bytes are a string.
func isText(e message) bool {
	switch e.at(schemaLogical).firstField() {
	case logicalString, logicalEnum, logicalJSON:
		return true
	}
	converted, given := e.number(schemaConverted)
	return given && (converted == convertedUTF8 || converted == convertedEnum || converted == convertedJSON)
}

// decimalScale is the number of decimal places of a decimal, and whether it is one.
func decimalScale(e message) (places int, decimal bool) {
	scale := int64(0)
	if l := e.at(schemaLogical); l.firstField() == logicalDecimal {
		scale, decimal = l.at(logicalDecimal).int(1), true
	} else if c, given := e.number(schemaConverted); given && c == convertedDecimal {
		scale, decimal = e.int(schemaScale), true
	}
	return int(max(0, min(scale, maxScale))), decimal
}

// maxScale is the most decimal places that a decimal of 64 bits may have.
const maxScale = 18
