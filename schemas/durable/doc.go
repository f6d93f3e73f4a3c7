// Package durable replaces files so that a reader finds the old one or the new one, whole,
// whatever fails and when. All of resslt replaces files by it.
//
// # In pseudo-code
//
//	f ← temporary file in path's folder      // the same file system, so that rename is atomic;
//	                                         // locked, so that it is seen whether somebody writes it
//	write f, chmod, fsync f                  // the bytes reach the disk before the name
//	rename f → path                          // readers see one or the other
//	fsync the folder                         // the name reaches the disk, too
//
// Nothing is written through a symbolic link: where path is one, the file takes its place.
// Errors are the file system's own, wrapped in one line that names the file (Error).
package durable
