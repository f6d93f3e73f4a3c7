// Package storetest starts a real S3-compatible server for tests, and a proxy in
// front of it that injects faults. The server is versitygw over a folder: a plain Go
// program that `make` can install, maintained, and complete (signatures, conditions,
// ranges, paged listings).
package storetest
