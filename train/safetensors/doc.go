// Package safetensors reads and writes the safetensors file format in pure Go:
// the form in which resslt keeps checkpoints and hands encoders to others.
//
// A file is
//
//	8 bytes   N, length of the header, little-endian
//	N bytes   JSON: {"__metadata__": {string: string}, name: {"dtype", "shape", "data_offsets"}}
//	rest      the tensors' bytes, little-endian, row-major, end to end
//
// The reader trusts nothing: it checks N, every shape and every offset against the
// file's size before it allocates memory, and the tensors must tile the data without gap
// or overlap, as the format requires. The writer sorts tensors by name, so equal tensors
// give equal files, and replaces a file atomically (package durable).
package safetensors
