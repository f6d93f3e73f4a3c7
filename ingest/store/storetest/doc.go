// Package storetest starts a real S3-compatible server for tests, and a proxy
// before it that injects faults: versitygw over a folder, since it is a plain Go
// program that `make` can install, speaks S3 in full (signatures, conditions,
// ranges, paged listings) and is kept.
package storetest
