// Package parquet reads columns of bytes and numbers out of Parquet files that
// nobody vouches for, a page at a time.
//
//	f, err := parquet.Open(ctx, r, size)              // reads the footer
//	images, err := f.Column(leaf)                     // one of f.Leaves()
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
// Columns of every type but int96 that may be null and do not repeat, in structures too;
// all encodings of today's writers; data pages of versions 1 and 2; every codec but LZO.
// Anything else is ErrUnsupported, by name. Columns beside may be of any type.
//
//	thrift.go     footers and headers: walked once, then looked up in their bytes
//	schema.go     the leaves of a schema
//	file.go       the footer; a column's chunks
//	column.go     the values of a column, of a page
//	page.go       the parts of a page: levels, dictionary, values
//	encoding.go   how values are stored
//	codec.go      how pages are compressed
//
// Footers err about dictionaries: their offset is missing, 0, or that of the data is too
// low, by writer. So a chunk begins at the lower offset that is there, and a dictionary
// is known by its own header.
//
// Why not a library: docs/writers.md has the figures.
//
// # Invariants
//
//   - Lengths that the file claims are checked against the bytes that are there
//     before memory is allocated; where a codec's ratio has no bound, memory grows with
//     what comes out. A page's values take 512 MiB at most.
//   - A chunk is read 4 MiB at a time, however long it is; a page by one read, and
//     another one or two for its dictionary.
//   - Errors wrap errs.ErrCorrupt, ErrTooLarge or ErrUnsupported, and for a page that
//     is not where it was ErrMismatch. They name neither file nor hint, which the
//     caller knows. Errors of the ReaderAt are returned unchanged.
package parquet
