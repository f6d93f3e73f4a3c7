// Package mat reads MATLAB's MAT-files of level 5 ("MATLAB 5.0 MAT-file", which save
// writes with -v6 and -v7), as far as the annotations of data sets need it.
//
//	vars, err := mat.Read(b)
//	labels, err := vars.Numbers("labels")
//
// # Vocabulary
//
//	element   a tag (type, bytes) and its data; a file is a list of them
//	matrix    the element that holds a variable: flags, dimensions, name, contents
//	array     a variable that was read: numbers, text, cells or structures, column-major
//
// # What is read
//
// Numeric and logical arrays as float64, character arrays, cells and structure
// arrays, plain or deflated, in both byte orders. Sparse and complex numbers,
// objects and function handles are ErrUnsupported by name, as is level 7.3, which is
// HDF5.
//
// # Invariants
//
//   - A claimed length allocates nothing until that many bytes are known to be there;
//     decompression stops at a limit.
//   - Depth and number of nested arrays are bounded.
//
// The format is "MAT-File Format", The MathWorks, chapter 1.
package mat
