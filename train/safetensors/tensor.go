package safetensors

import (
	"crypto/sha256"
	"encoding/hex"
	"math"
	"slices"
)

// Tensor is one named array. Data is little-endian and row-major, and holds
// Numel(Shape) elements of DType.
type Tensor struct {
	Name  string
	DType DType
	Shape []int64
	Data  []byte
}

// DType is the format's name for an element type.
type DType string

// The element types that resslt uses; the format has a few more.
const (
	F64  DType = "F64"
	F32  DType = "F32"
	F16  DType = "F16"
	BF16 DType = "BF16"
	I64  DType = "I64"
	I32  DType = "I32"
	U8   DType = "U8"
	Bool DType = "BOOL"
)

// Size is the element's size in bytes, or 0 for a type that resslt does not know.
func (d DType) Size() int64 {
	switch d {
	case F64, I64:
		return 8
	case F32, I32:
		return 4
	case F16, BF16:
		return 2
	case U8, Bool:
		return 1
	}
	return 0
}

// byteLen is the size of a tensor, and whether shape and type are valid.
func byteLen(d DType, shape []int64) (int64, bool) {
	n := d.Size()
	if n == 0 {
		return 0, false
	}
	for _, s := range shape {
		if s < 0 || (s > 0 && n > math.MaxInt64/s) {
			return 0, false
		}
		n *= s
	}
	return n, true
}

// Digest is the hex SHA-256 over the tensors' bytes in order of name, as in
// student_sha256 and the like of summary.json.
func Digest(tensors []Tensor) string {
	h := sha256.New()
	for _, t := range sorted(tensors) {
		h.Write(t.Data)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func sorted(tensors []Tensor) []Tensor {
	out := slices.Clone(tensors)
	slices.SortFunc(out, func(a, b Tensor) int {
		switch {
		case a.Name < b.Name:
			return -1
		case a.Name > b.Name:
			return 1
		}
		return 0
	})
	return out
}
