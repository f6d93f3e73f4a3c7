package torch

import (
	"fmt"
	"strconv"
	"strings"

	"resslt/schemas/errs"
)

// DType is an element type; its values are libtorch's ScalarType numbers.
type DType int8

// The element types that the binding knows.
const (
	Uint8    DType = 0
	Int8     DType = 1
	Int16    DType = 2
	Int32    DType = 3
	Int64    DType = 4
	Float16  DType = 5
	Float32  DType = 6
	Float64  DType = 7
	Bool     DType = 11
	BFloat16 DType = 15
	// Unset is an absent optional dtype: the op chooses.
	Unset DType = -1
)

var dtypes = map[DType]struct {
	name string
	size int
}{
	Uint8: {"uint8", 1}, Int8: {"int8", 1}, Int16: {"int16", 2}, Int32: {"int32", 4}, Int64: {"int64", 8},
	Float16: {"float16", 2}, Float32: {"float32", 4}, Float64: {"float64", 8}, Bool: {"bool", 1}, BFloat16: {"bfloat16", 2},
}

// Size is the bytes of one element, 0 for an unknown dtype.
func (d DType) Size() int { return dtypes[d].size }

// String is PyTorch's name: "float32".
func (d DType) String() string {
	if e, ok := dtypes[d]; ok {
		return e.name
	}
	return fmt.Sprintf("dtype(%d)", int8(d))
}

// MemoryFormat is the order of a tensor's elements in memory.
type MemoryFormat int8

const (
	// ContiguousFormat is NCHW for images: the last dimension fastest.
	ContiguousFormat MemoryFormat = 0
	// ChannelsLast is NHWC in memory under an NCHW shape.
	ChannelsLast MemoryFormat = 2
)

// DeviceType is a kind of device; its values are libtorch's.
type DeviceType int8

// The kinds of device that the binding knows.
const (
	DeviceCPU  DeviceType = 0
	DeviceCUDA DeviceType = 1
)

// String is "cpu" or "cuda".
func (t DeviceType) String() string {
	switch t {
	case DeviceCPU:
		return "cpu"
	case DeviceCUDA:
		return "cuda"
	}
	return fmt.Sprintf("device(%d)", int8(t))
}

// Device is where a tensor lives. The zero value is the CPU. Index counts CUDA
// devices from 0 and is 0 on the CPU.
type Device struct {
	Type  DeviceType
	Index int
}

// CPU is the host.
var CPU = Device{}

// CUDA is the i-th GPU.
func CUDA(i int) Device { return Device{Type: DeviceCUDA, Index: i} }

// String is PyTorch's name: "cpu", "cuda:1".
func (d Device) String() string {
	if d.Type == DeviceCPU {
		return "cpu"
	}
	return d.Type.String() + ":" + strconv.Itoa(d.Index)
}

// maxDevices bounds a device index: libtorch keeps it in eight bits.
const maxDevices = 127

// ParseDevice reads "cpu", "cuda" (the first GPU) or "cuda:N".
func ParseDevice(s string) (Device, error) {
	name, index, numbered := strings.Cut(s, ":")
	switch {
	case s == "cpu":
		return CPU, nil
	case name == "cuda" && !numbered:
		return CUDA(0), nil
	case name == "cuda":
		if i, err := strconv.ParseUint(index, 10, 8); err == nil && i < maxDevices {
			return CUDA(int(i)), nil
		}
	}
	return Device{}, errs.New("parse device", strconv.Quote(s), "use cpu, cuda or cuda:N",
		errs.Because(errs.ErrUsage, "no such device"))
}

// word packs a device as RS_DEVICE wants it.
func (d Device) word() uint64 {
	index := uint64(0) // CPU has no index
	if d.Type != DeviceCPU {
		index = uint64(d.Index + 1)
	}
	return uint64(d.Type)<<8 | index
}
