// Package pth reads the tensors of checkpoints that PyTorch saved (.pth, .pt, .bin, .ckpt),
// without Python and without running anything of theirs.
//
// # Vocabulary
//
//	pickle    a program for a small stack machine, by which Python stores objects
//	global    a name of a class or function in a pickle; here a name and never more
//	storage   the bytes of one or several tensors
//	rebuild   the global by which PyTorch makes a tensor: storage, offset, sizes, strides
//	object    an instance of any other class: its arguments and state, as data
//
// # Files
//
//	zip      since PyTorch 1.6: NAME/data.pkl, NAME/data/KEY a storage, NAME/byteorder
//	legacy   before: pickles of a mark, a version, the machine and the object, then the
//	         storages' keys, then each storage behind its length
//
// # Invariants
//
// Nothing is executed. The machine knows the opcodes of protocols 2 to 5, builds lists,
// dictionaries and tuples, and applies the few globals by which PyTorch makes tensors
// (rebuild.go). Every other global is a name, and calling it gives an object that holds what
// it was called with. So a checkpoint with an argparse.Namespace is read, and one whose
// pickle would delete a folder deletes nothing.
//
// Nothing is believed. A pickle is at most MaxPickle bytes; sizes, strides and offsets are
// held against the storage, the storage against the file, before anything is allocated.
// A tensor takes no more memory than its storage has bytes, all of them together no more than
// maxAgain times the file: views may share a storage.
//
//	f, err := pth.Open(path)         // names, types, shapes: all checked
//	tensors, err := f.Read(keep)     // the bytes of those that are wanted
package pth
