// Package parquet reads columns of bytes and integers out of Parquet files that
// nobody vouches for, a page at a time.
//
//	f, err := parquet.Open(ctx, r, size)              // reads the footer
//	images, err := f.Column([]string{"image.bytes"}, parquet.Bytes)
//	err = images.Each(ctx, r, func(page int64, v []byte) error { … })   // all values
//	values, err := images.Page(ctx, r, page, next)                      // those of one page
//
// # Vocabulary
//
//	footer      the file's metadata, at its end: schema, row groups, key-value pairs
//	row group   a run of rows; its columns are stored one after another
//	chunk       a column's part of a row group: perhaps a dictionary page, then data pages
//	page        the unit of encoding and compression: a header, then some values
//	levels      how much of a nested value is there, a number for each value; for
//	            columns that do not repeat, whether it is null
//
// # What is read
//
// Columns of byte arrays, int32 and int64 that may be null and do not repeat, in
// structures too; plain and dictionary encoding; data pages of versions 1 and 2;
// uncompressed or snappy. Anything else is ErrUnsupported, by name.
//
// # Invariants
//
//   - Lengths that the file claims are checked against the bytes that are there
//     before memory is allocated. thrift.go walks all metadata first; Arrow's reader
//     of footers then runs under recover; pages are decoded here.
//   - Errors wrap errs.ErrCorrupt, ErrTooLarge or ErrUnsupported, and for a page that
//     is not where it was ErrMismatch. They name neither file nor hint, which the
//     caller knows. Errors of the ReaderAt are returned unchanged.
package parquet
