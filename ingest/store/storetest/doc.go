// Package storetest has the stores that tests read from, and the faults that they inject.
//
//	S3      a real server (versitygw over a folder: a plain Go program that `make` can
//	        install, maintained, and complete: signatures, conditions, ranges, listings)
//	Web     a web server of ours over a folder, with or without ETags
//	GCS     the few requests of Google's API that reading makes, of our own
//	Disk    local files, through package store's interface
//
// An Injector in front of each has requests fail by operation and index: the third read of
// this object, every stat from the second on. Faults lists all ways in which an answer of
// a server can go wrong; what a store must make of each is the same for all (store_test).
package storetest
