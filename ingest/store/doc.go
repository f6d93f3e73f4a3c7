// Package store opens files by name, whether they lie on a disk, in a bucket or
// behind a web server: the one place of resslt that knows where bytes come from.
//
//	s := store.New(store.Options{})
//	f, err := s.Open(ctx, "s3://bucket/imagenet/train-000017.tar")
//	n, err := f.ReadAt(ctx, p, off)
//
// # Names
//
//	/data/x.tar, file:///data/x.tar   a disk
//	s3://bucket/key                   Amazon S3 and what speaks its protocol (AWS_ENDPOINT_URL)
//	gs://bucket/key                   Google Cloud Storage
//	https://host/path, http://…       a web server that serves ranges; has no listing
//
// Credentials come from where each provider's own tools take them (AWS_* variables
// and ~/.aws, Google's application default credentials, user:password@ in a URL);
// RESSLT_ANONYMOUS=1 reads public buckets without any.
//
// # Reading
//
// A remote file is read by ranges. Where Keep is set, the first read fetches it
// whole into the cache instead, and it is read from there: for data that fits the
// cache, or that is read in runs. A file has the version (ETag) that it was opened
// with; another one later is ErrMismatch, never a mixture.
//
// What fails for a moment is tried again, with a backoff that doubles; a body that
// breaks off goes on where it ended; a connection that gives nothing for half a
// minute counts as broken. What cannot get better is told at once: missing, no
// right to read, another version.
//
// # The cache
//
//	CACHE/lock              held (flock) while room is made
//	CACHE/ab/abcd….part     being fetched; locked by who fetches it; has its full
//	                        length from the start, so that it counts
//	CACHE/ab/abcd…          complete: the bytes, then their SHA-256
//
// The name is a hash of the file's name, size and version. Several processes share
// a cache: who finds a .part locked waits for it; a .part that nobody has locked
// was left by a crash and is removed. A file comes into being by rename, after
// fsync, and is hashed anew by each process that first uses it, so that neither a
// crash nor a bad disk gives wrong bytes. Above its bytes, the cache drops what was
// not used for the longest time.
package store
