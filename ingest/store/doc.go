// Package store opens files by name, on a disk, in a bucket or on a web server. No
// other package of resslt knows where bytes come from.
//
//	s := store.New(store.Options{})
//	f, err := s.Open(ctx, "s3://bucket/imagenet/train-000017.tar")
//	n, err := f.ReadAt(ctx, p, off)
//
// # Names
//
//	/data/x.tar, file:///data/x.tar   a disk
//	s3://bucket/key                   Amazon S3 and compatible servers (AWS_ENDPOINT_URL)
//	gs://bucket/key                   Google Cloud Storage
//	https://host/path, http://…       a web server that serves ranges; it cannot list files
//
// Credentials are found as each provider's own tools find them (AWS_* variables
// and ~/.aws, Google's application default credentials, user:password@ in a URL, bearer tokens,
// see TokensVariable);
// RESSLT_ANONYMOUS=1 reads public buckets without any.
//
// # Reading
//
// A remote file is read by ranges. With Keep, the first read fetches it whole into
// the cache, and later reads are served from there: for data that fits the cache, or
// that is read in long runs. A file keeps the version (ETag) that it was opened with;
// meeting another one is ErrMismatch, and two are never mixed.
//
// Every answer is checked to hold the bytes that were asked for (answer.go): its range,
// length, version and encoding. Where a server ignores ranges, a part near the start is
// cut from the whole file. What does not fit is asked for again.
//
// Failures are retried, with a backoff that doubles, or as long as the server asks for
// (Retry-After). A body that breaks off is resumed where it ended; a connection that sends
// nothing for half a minute counts as broken. Of a file that is looked for, "not found",
// "denied" and "another version" are final at once. Of one that was there, they are believed
// when all attempts agree: of a long run's many requests, some meet a server that lags
// behind the others.
//
// A local file is opened as it is; each read looks whether it was written to since. Its
// faults are returned at once: whoever reads tries again.
//
// No error of this package says anything of a sample (schemas.BadSample).
//
// # The cache
//
//	CACHE/lock              held (flock) while room is made
//	CACHE/ab/abcd….part     being fetched, and locked by the process that does; it has
//	                        its full length from the start, so that it counts
//	CACHE/ab/abcd…          complete: the bytes, then their SHA-256
//
// The name is a hash of the file's name, size and version. Several processes share
// a cache: one that finds a .part locked waits for it; a .part that nobody has locked
// was left by a crash and is removed. A file gets its name by rename, after fsync, and
// each process hashes it before its first use, so that neither a crash nor a bad disk
// gives wrong bytes. When the cache is full, the least recently used files are dropped.
//
// # One more store
//
// Implement bucket (store.go) in a file of its own and add its scheme to the table in
// scheme.go. Retries, ranges, the cache and the cut into names need no change. A server for
// tests in package storetest, and a line in conformance_test.go, give it the suite.
package store
