package torch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"resslt/schemas/errs"
)

// ShimName is the file name of the shim.
const ShimName = "libresslt_torch.so"

// EnvShim is the environment variable that names the shim's file or folder. It
// overrides the search.
const EnvShim = "RESSLT_TORCH"

const hintShim = "install libtorch-dev or set TORCH_HOME, run `make shim`, then put " + ShimName + " next to the program or set " + EnvShim

// opened is the path of the loaded shim; nil until one is loaded.
var opened atomic.Pointer[string]

// openMu serialises loading. A loaded shim stays as long as the process lives:
// libtorch starts threads and registers destructors, so it cannot be unloaded.
var openMu sync.Mutex

type openKind int

const (
	openOK     openKind = iota
	openLoader          // the system loader refused: message says why
	openNotShim
	openABI
	openNoCgo
)

// openOutcome is why a file could not be loaded as the shim.
type openOutcome struct {
	kind    openKind
	message string
	abi     int
}

// Open loads the shim, and with it libtorch. path is the shim's file or its
// folder; "" searches, in this order: $RESSLT_TORCH, the executable's folder,
// ../lib next to that, the system loader's path. Where $RESSLT_TORCH is set
// nothing else is searched.
//
// First it sets OMP_WAIT_POLICY to "passive", unless the environment already says
// how OpenMP's threads wait.
//
// Open is idempotent: after a success every further call returns nil, whatever
// its path. It returns errs.ErrUnavailable, naming every place searched, if no shim
// can be loaded, and errs.ErrMismatch if the shim has another ABI number than this
// build.
func Open(path string) error {
	openMu.Lock()
	defer openMu.Unlock()
	if opened.Load() != nil {
		return nil
	}
	if err := waitPassively(); err != nil {
		return errs.New("open libtorch shim", waitPolicy, "", errs.BecauseErr(errs.ErrUnavailable, err))
	}
	candidates := candidatesFor(path)
	var tried []string
	for _, c := range candidates {
		if filepath.Base(c) != c { // the bare name is the system loader's to find
			if _, err := os.Stat(c); errors.Is(err, fs.ErrNotExist) {
				tried = append(tried, c+" (not there)")
				continue
			}
		}
		where, out := dlOpen(c)
		switch out.kind {
		case openOK:
			if where == "" {
				where = c
			}
			opened.Store(&where)
			return nil
		case openABI:
			return errs.New("open libtorch shim", c, "run `make shim` to rebuild it with this version of resslt",
				errs.Because(errs.ErrMismatch, fmt.Sprintf("the file has ABI %d, this build speaks ABI %d", out.abi, shimABI)))
		case openNotShim:
			return errs.New("open libtorch shim", c, "point "+EnvShim+" to "+ShimName+", which `make shim` builds",
				errs.Because(errs.ErrMismatch, "a shared library, but not resslt's shim"))
		case openNoCgo:
			return errs.New("open libtorch shim", c, "rebuild with CGO_ENABLED=1 and a C compiler",
				errs.Because(errs.ErrUnavailable, "this program was built without cgo"))
		case openLoader:
			tried = append(tried, loaderMessage(c, out.message))
		}
	}
	return errs.New("open libtorch shim", path, hintShim,
		errs.Because(errs.ErrUnavailable, "searched "+strings.Join(tried, ", ")))
}

// loaderMessage names the file once: the loader's own message usually does already.
func loaderMessage(path, message string) string {
	if strings.HasPrefix(message, path) {
		return message
	}
	return path + " (" + message + ")"
}

// Available returns nil if libtorch can be used. If nothing is loaded yet, it
// searches as Open("") does, and returns its error.
func Available() error {
	if opened.Load() != nil {
		return nil
	}
	return Open("")
}

// candidatesFor lists the files that Open tries, in order.
func candidatesFor(path string) []string {
	if path == "" {
		path = os.Getenv(EnvShim)
	}
	if path != "" {
		if st, err := os.Stat(path); err == nil && st.IsDir() {
			path = filepath.Join(path, ShimName)
		}
		if filepath.Base(path) == path { // a bare name is a file in this folder, never on the loader's path
			path = "." + string(filepath.Separator) + path
		}
		return []string{path}
	}
	var list []string
	if exe, err := os.Executable(); err == nil {
		if real, err := filepath.EvalSymlinks(exe); err == nil {
			exe = real
		}
		dir := filepath.Dir(exe)
		list = append(list, filepath.Join(dir, ShimName), filepath.Join(dir, "..", "lib", ShimName))
	}
	return append(list, ShimName)
}
