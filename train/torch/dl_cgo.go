//go:build cgo && !windows

package torch

// #cgo LDFLAGS: -ldl
// #cgo noescape rs_invoke
// #cgo noescape rs_release
// #cgo nocallback rs_invoke
// #cgo nocallback rs_release
// #cgo nocallback rs_inside
// #cgo nocallback rs_enter
// #cgo nocallback rs_leave
// #cgo nocallback rs_live
// #include <stdlib.h>
// #include "dl.h"
import "C"

import "unsafe"

// This file and dl_nocgo.go hold the same functions; nothing else in the
// module may import "C" for libtorch.

// result mirrors rs_result.
type result = C.rs_result

const inlineResults = C.RS_INLINE_RESULTS

// shimABI is the ABI number this build speaks.
const shimABI = C.RS_ABI

func dlOpen(path string) (where string, out openOutcome) {
	cpath := C.CString(path)
	defer C.free(unsafe.Pointer(cpath))
	var message, file *C.char
	var abi C.int32_t
	code := C.rs_open(cpath, &message, &file, &abi) //nolint:gocritic // dupSubExpr, in what cgo makes of it
	defer C.free(unsafe.Pointer(message))
	defer C.free(unsafe.Pointer(file))
	switch code {
	case C.RS_OPEN_OK:
		return C.GoString(file), openOutcome{}
	case C.RS_OPEN_ABI:
		return "", openOutcome{kind: openABI, abi: int(abi)}
	case C.RS_OPEN_SYMBOL:
		return "", openOutcome{kind: openNotShim}
	default:
		return "", openOutcome{kind: openLoader, message: C.GoString(message)}
	}
}

func dlFind(name, overload, args string) (uint64, string) {
	cname, coverload, cargs := C.CString(name), C.CString(overload), C.CString(args)
	defer C.free(unsafe.Pointer(cname))
	defer C.free(unsafe.Pointer(coverload))
	defer C.free(unsafe.Pointer(cargs))
	var op C.uint64_t
	if m := C.rs_find(cname, coverload, cargs, &op); m != nil {
		return 0, takeMessage(m)
	}
	return uint64(op), ""
}

func dlInvoke(op uint64, words []uint64, data []byte, out *result) string {
	m := C.rs_invoke(C.uint64_t(op), (*C.uint64_t)(unsafe.Pointer(unsafe.SliceData(words))), C.int64_t(len(words)),
		unsafe.Pointer(unsafe.SliceData(data)), C.int64_t(len(data)), out)
	if m != nil {
		return takeMessage(m)
	}
	return ""
}

// takeMessage copies and frees a message of the shim.
func takeMessage(m *C.char) string {
	s := C.GoString(m)
	C.rs_free_message(m)
	return s
}

// resultWords is the result as a slice: of out itself, or a copy of what the
// shim allocated, which is freed.
func resultWords(out *result) []uint64 {
	n := int(out.n)
	if n <= inlineResults {
		return unsafe.Slice((*uint64)(unsafe.Pointer(&out.v[0])), n)
	}
	words := make([]uint64, n)
	copy(words, unsafe.Slice((*uint64)(*(*unsafe.Pointer)(unsafe.Pointer(&out.more))), n))
	C.rs_free_words(out.more)
	return words
}

func dlRelease(handles []uint64) {
	C.rs_release((*C.uint64_t)(unsafe.Pointer(unsafe.SliceData(handles))), C.int64_t(len(handles)))
}

func dlLive() int64  { return int64(C.rs_live()) }
func dlEnter()       { C.rs_enter() }
func dlLeave()       { C.rs_leave() }
func dlInside() bool { return C.rs_inside() != 0 }
