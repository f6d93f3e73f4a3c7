package torch

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"resslt/schemas/errs"
)

// job is one call of Do, for the device thread.
type job struct {
	fn   func() error
	err  error
	done chan struct{}
	// panicked is set when fn panicked with anything but an op's failure.
	panicked *Panic
	// exited: fn ended its goroutine by runtime.Goexit (testing.T.FailNow).
	exited bool
}

var (
	// jobs reaches the device thread. Unbuffered, so that one Do runs at a time.
	jobs = make(chan *job)
	// startThread starts the device thread at the first Do.
	startThread sync.Once
)

// Do runs fn on the device thread: one OS thread that lives as long as the
// process and does nothing else, because grad mode, autocast, the CUDA device
// and OpenMP's teams belong to an OS thread. Calls from several goroutines run
// one after another, so a Do should last a step, not a run: NumThreads and Info
// wait for it, too. When fn begins, grad mode is on and autocast is off.
//
// Tensors that fn makes are freed when it returns, except those kept with
// Tensor.Keep. An op that fails ends fn, and Do returns an *errs.Error that
// names the op and carries libtorch's message: errs.ErrMismatch for shapes,
// types and values that do not fit, ErrUsage for a nil or freed tensor,
// ErrUnsupported for what this libtorch or device cannot do, ErrTooLarge when
// memory runs out, ErrUnavailable when a GPU fails or another process of a Group
// is gone. Without a shim it returns Available's error.
//
// Any other panic of fn continues in Do's caller, as a *Panic.
//
// A Do inside a Do runs fn at once, under the current modes, in a scope of its own.
func Do(fn func() error) error {
	if err := Available(); err != nil {
		return err
	}
	if dlInside() {
		return protect(fn)
	}
	startThread.Do(func() { go deviceThread() })
	j := &job{fn: fn, done: make(chan struct{})}
	jobs <- j
	<-j.done
	if j.exited {
		runtime.Goexit()
	}
	if j.panicked != nil {
		panic(j.panicked)
	}
	return j.err
}

// Panic is what Do panics with when fn panicked with anything but an op's failure.
// It holds the value and the stack of the device thread, where fn panicked.
type Panic struct {
	Value any
	Stack []byte
}

func (p *Panic) Error() string { return fmt.Sprintf("panic in torch.Do: %v\n\n%s", p.Value, p.Stack) }

// Unwrap returns the value if it is an error.
func (p *Panic) Unwrap() error {
	err, _ := p.Value.(error)
	return err
}

// deviceThread runs jobs as long as the process lives. Nobody joins it: like
// libtorch's own thread pools, it has no state to save at exit.
func deviceThread() {
	runtime.LockOSThread()
	for j := range jobs {
		runJob(j)
	}
}

// runJob runs one job and reports how it ended: by return, panic or Goexit.
func runJob(j *job) {
	ended := false
	defer func() {
		p := recover()
		if p != nil {
			j.panicked = &Panic{Value: p, Stack: debug.Stack()}
		}
		dlLeave()
		if !ended && p == nil {
			// Goexit takes this goroutine and, being locked, its thread.
			j.exited = true
			go deviceThread()
		}
		close(j.done)
	}()
	dlEnter()
	j.err = protect(j.fn)
	ended = true
}

// protect runs fn in a scope and turns an op's failure into an error. It passes any
// other panic on.
func protect(fn func() error) (err error) {
	base := openScope()
	defer func() {
		closeScope(base, nil)
		if p := recover(); p != nil {
			f, ok := p.(*failure)
			if !ok {
				panic(p)
			}
			err = f.err
		}
	}()
	return fn()
}

// failure is what a failing op panics with: ops return no error, so that model code
// reads like the paper, and Do recovers the failure into an error. It is an error
// itself so that a panic outside Do prints what went wrong.
type failure struct{ err error }

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// deviceLost is set when a GPU fails. From then on its tensors are not freed: the
// process is about to end, and libtorch's deleters, which must not throw, would call
// the device.
var deviceLost atomic.Bool

// capturing is set during a graph capture, in which CUDA refuses some calls without
// harm to the device. Only the device thread touches it.
var capturing bool

// fail panics with the shim's message; its first byte is the kind.
func fail(op, message string) {
	sentinel, hint := errs.ErrMismatch, ""
	if message != "" {
		switch message[0] {
		case 'W':
			sentinel = errs.ErrUsage
		case 'U':
			sentinel, hint = errs.ErrUnsupported, "use a newer libtorch or another device; `resslt doctor` lists what is installed"
		case 'T':
			sentinel, hint = errs.ErrTooLarge, "lower the batch size or the image size"
		case 'D':
			if !capturing {
				deviceLost.Store(true)
			}
			sentinel, hint = errs.ErrUnavailable, "check nvidia-smi and the kernel log for the GPU; this process can no longer use it"
		case 'L':
			sentinel, hint = errs.ErrUnavailable, "find out why the other rank ended, then restart all ranks with --resume"
		}
		message = message[1:]
	}
	panic(&failure{errs.New("torch", op, hint, errs.Because(sentinel, message))})
}

// release frees tensors, unless the device is lost.
func release(handles []uint64) {
	if !deviceLost.Load() {
		dlRelease(handles)
	}
}

// misuse panics with a usage error for op.
func misuse(op, format string, args ...any) {
	panic(&failure{errs.New("torch", op, "", errs.Because(errs.ErrUsage, fmt.Sprintf(format, args...)))})
}

// mustBeInside guards the functions that touch scopes without calling an op.
func mustBeInside(what string) {
	if opened.Load() == nil || !dlInside() {
		misuse(what, "called outside torch.Do")
	}
}
