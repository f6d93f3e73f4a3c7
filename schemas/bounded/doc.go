// Package bounded opens and reads what people and other programs give, without trust: a path
// may be a device, a text may be made to take all memory. All of resslt opens files by it;
// `make lint` refuses os.Open and its kin elsewhere.
//
// # Files
//
//	stat path              // without opening it: to open some devices does something
//	open with O_NONBLOCK   // a named pipe would wait for its other end
//	fstat                  // the path may name another file by now
//	regular, and not of the kernel's own file systems, or refused
//
// A path that is no regular file is refused with what it is. Such an error wraps
// errs.ErrUsage; others are the file system's own. A whole file is read only up to a cap that
// the caller gives (errs.ErrTooLarge), and never more than the file had when it was opened.
//
// # Texts
//
//	Text     UTF-8, without a byte order mark and NUL bytes
//	JSON     nests ≤ MaxNesting deep, no key twice in an object
//	YAML     package boundedyaml: as JSON, aliases counted as what they stand for
//
// Memory is then a small multiple of a text's length.
package bounded
