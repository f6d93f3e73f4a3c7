package torch

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"resslt/schemas/errs"
)

// job is one Do on its way to the device thread.
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
// wait for it too. At entry grad mode is on and autocast off.
//
// Tensors that fn makes are freed when it returns, except those kept with
// Tensor.Keep. An op that fails ends fn, and Do returns an *errs.Error that
// names the op and gives libtorch's message: errs.ErrMismatch for shapes,
// types and values that do not fit, ErrUsage for a nil or freed tensor,
// ErrUnsupported for what this libtorch or device cannot do, ErrTooLarge when
// memory runs out, ErrUnavailable where a GPU fails or another process of a Group
// is gone. Without a shim it returns Available's error.
//
// Any other panic of fn goes on in Do's caller, as a *Panic.
//
// A Do inside a Do runs fn at once, under the modes that are on, in a scope of
// its own.
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

// Panic is what Do panics with when fn panicked with something that is no op's
// failure: the value, and the stack of the device thread, where it happened.
type Panic struct {
	Value any
	Stack []byte
}

func (p *Panic) Error() string { return fmt.Sprintf("panic in torch.Do: %v\n\n%s", p.Value, p.Stack) }

// Unwrap gives the value where it is an error.
func (p *Panic) Unwrap() error {
	err, _ := p.Value.(error)
	return err
}

// deviceThread runs jobs for the life of the process. Nobody joins it: like
// libtorch's own thread pools it has no state that must be saved at exit.
func deviceThread() {
	runtime.LockOSThread()
	for j := range jobs {
		runJob(j)
	}
}

// runJob runs one job and reports how it ended, in whichever way it does.
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

// protect runs fn in a scope and turns an op's failure into an error. Any other
// panic is not its own and goes on.
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

// failure is what a failing op panics with. It is private: ops return no error,
// so that model code reads like the paper, and Do, in this same package,
// recovers it into an error. It is itself an error so that a panic outside Do
// prints what went wrong.
type failure struct{ err error }

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// deviceLost is set by a GPU's failure. What was in use on it is not freed from then
// on: the process is about to end, and libtorch's deleters, which may not throw, ask
// the device.
var deviceLost atomic.Bool

// capturing is set while a graph is captured, where CUDA refuses what it would do
// otherwise and the device is none the worse for it. The device thread's.
var capturing bool

// fail panics with the shim's message; its first byte is the kind.
func fail(op, message string) {
	sentinel, hint := errs.ErrMismatch, ""
	if message != "" {
		switch message[0] {
		case 'W':
			sentinel = errs.ErrUsage
		case 'U':
			sentinel, hint = errs.ErrUnsupported, "use a newer libtorch or another device; `resslt doctor` says what is here"
		case 'T':
			sentinel, hint = errs.ErrTooLarge, "lower the batch size or the image size"
		case 'D':
			if !capturing {
				deviceLost.Store(true)
			}
			sentinel, hint = errs.ErrUnavailable, "look at nvidia-smi and the kernel's log for the GPU; this process cannot use it any more"
		case 'L':
			sentinel, hint = errs.ErrUnavailable, "see why the other rank ended, then start all of them again with --resume"
		}
		message = message[1:]
	}
	panic(&failure{errs.New("torch", op, hint, errs.Because(sentinel, message))})
}

// release frees tensors, or leaves them to the process' end.
func release(handles []uint64) {
	if !deviceLost.Load() {
		dlRelease(handles)
	}
}

// misuse panics with a usage error of op.
func misuse(op, format string, args ...any) {
	panic(&failure{errs.New("torch", op, "", errs.Because(errs.ErrUsage, fmt.Sprintf(format, args...)))})
}

// mustBeInside is for the functions that touch scopes without calling an op.
func mustBeInside(what string) {
	if opened.Load() == nil || !dlInside() {
		misuse(what, "called outside torch.Do")
	}
}
