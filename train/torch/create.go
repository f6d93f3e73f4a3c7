package torch

import "unsafe"

var fnFromBytes = op{name: "resslt::from_bytes", args: "dtype,shape"}

// FromBytes makes a CPU tensor from a copy of data: elements of dtype in
// row-major order and the machine's byte order. The length must match the shape.
func FromBytes(dtype DType, data []byte, shape ...int64) *Tensor {
	var b [16]uint64
	var out result
	fnFromBytes.invoke(putInts(putDType(b[:0], dtype), shape), data, &out)
	return own(resultWords(&out)[0])
}

// FromFloat32 makes a float32 CPU tensor from a copy of data, row-major. Without
// a shape it makes a scalar.
func FromFloat32(data []float32, shape ...int64) *Tensor {
	return FromBytes(Float32, bytesOf(data), shape...)
}

// FromFloat64 is FromFloat32 for float64.
func FromFloat64(data []float64, shape ...int64) *Tensor {
	return FromBytes(Float64, bytesOf(data), shape...)
}

// FromInt64 is FromFloat32 for int64.
func FromInt64(data []int64, shape ...int64) *Tensor {
	return FromBytes(Int64, bytesOf(data), shape...)
}

// FromUint8 is FromFloat32 for uint8: pixels.
func FromUint8(data []byte, shape ...int64) *Tensor { return FromBytes(Uint8, data, shape...) }

// bytesOf is the memory of data, not copied.
func bytesOf[T float32 | float64 | int64](data []T) []byte {
	if len(data) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(&data[0])), len(data)*int(unsafe.Sizeof(data[0])))
}

// Scalar makes a tensor without dimensions.
func Scalar(v float64, dtype DType, device Device) *Tensor { return Full(nil, v, dtype, device) }
