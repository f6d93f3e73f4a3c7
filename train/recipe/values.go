package recipe

import (
	"errors"
	"fmt"
	"reflect"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// badValue is a value of another type than its key's, at line:column.
type badValue struct{ what, at string }

func (b *badValue) Error() string { return "a value " + b.what + " at " + b.at }

// badValueOf says in words of YAML what the parser says in Go's; nil where err is about something else.
func badValueOf(err error) *badValue {
	var (
		mismatch *yaml.TypeError
		overflow *yaml.OverflowError
		node     *yaml.UnexpectedNodeTypeError
	)
	switch {
	case errors.As(err, &mismatch) && mismatch.Token != nil:
		return &badValue{"is " + written(mismatch.Token) + ", not " + kindWord(mismatch.DstType), position(mismatch.Token)}
	case errors.As(err, &overflow) && overflow.Token != nil:
		why := ", which is too large"
		if overflow.DstType.Kind() == reflect.Uint64 {
			why = ", not a whole number from 0 to 2⁶⁴ − 1"
		}
		return &badValue{"is " + overflow.SrcNum + why, position(overflow.Token)}
	case errors.As(err, &node) && node.Token != nil && node.Expected == ast.SequenceType:
		return &badValue{"is " + written(node.Token) + ", not a list such as [a, b]", position(node.Token)}
	}
	return nil
}

// written is a value as the file has it, or what it begins with.
func written(t *token.Token) string {
	switch t.Type {
	case token.SequenceStartType, token.SequenceEntryType:
		return "a list"
	case token.MappingStartType, token.MappingValueType:
		return "a map"
	}
	if t.Value == "" {
		return "empty"
	}
	return short(t.Value)
}

func position(t *token.Token) string {
	return fmt.Sprintf("%d:%d", t.Position.Line, t.Position.Column)
}

// kindWord names a field's type.
func kindWord(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Int, reflect.Uint64:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "text"
	case reflect.Slice:
		return "a list such as [a, b]"
	}
	return "a map of keys"
}
