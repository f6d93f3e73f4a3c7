package layout

import "encoding/binary"

// Int32s copies a column of 32-bit integers: a message's bytes need not be aligned.
func Int32s(b []byte) []int32 {
	out := make([]int32, len(b)/4)
	for i := range out {
		out[i] = int32(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return out
}

// Int64s copies a column of 64-bit integers.
func Int64s(b []byte) []int64 {
	out := make([]int64, len(b)/8)
	for i := range out {
		out[i] = int64(binary.LittleEndian.Uint64(b[8*i:]))
	}
	return out
}

// Slices cuts data at checked offsets.
func Slices(offsets, data []byte) [][]byte {
	out := make([][]byte, len(offsets)/4-1)
	for i := range out {
		lo, hi := binary.LittleEndian.Uint32(offsets[4*i:]), binary.LittleEndian.Uint32(offsets[4*i+4:])
		out[i] = data[lo:hi:hi]
	}
	return out
}
