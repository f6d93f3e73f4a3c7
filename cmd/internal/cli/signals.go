package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"
)

// settle is how long signals after the first count as the first: a terminal, a supervisor and
// torchrun each pass one on, so that a single Ctrl-C comes as several.
const settle = 2 * time.Second

// stops are the signals that ask for an orderly end: Ctrl-C, a supervisor, and a terminal that
// is closed or a connection that is lost.
var stops = []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP}

// stopper turns signals into the end of a context.
type stopper struct {
	signals chan os.Signal
	done    chan struct{}
	stopped context.CancelCauseFunc
	quiet   *atomic.Bool // standard error is a log with a form of its own
	name    string       // of the program
	stderr  io.Writer
}

// stopped is why the context of a command ends: a signal. It is a cancellation.
type stopped struct{ os.Signal }

func (s stopped) Error() string        { return s.String() }
func (s stopped) Is(target error) bool { return target == context.Canceled }

// WasInterrupted reports whether a command's context was ended from the keyboard.
func WasInterrupted(ctx context.Context) bool {
	var s stopped
	return errors.As(context.Cause(ctx), &s) && s.Signal == os.Interrupt
}

// onSignals returns a context that ends with the first of stops. Later ones within settle do
// nothing; one after that ends the process at once, by that signal. A SIGHUP that was ignored
// when the process began, as under nohup, stays ignored.
//
// Writing to a pipe whose reader has gone gives an error, and not the SIGPIPE that would end
// the process before its checkpoint: Ctrl-C in `resslt run | tee log` ends tee as well.
func onSignals(name string, stderr io.Writer, quiet *atomic.Bool) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	s := &stopper{
		signals: make(chan os.Signal, 8), done: make(chan struct{}), stopped: cancel,
		quiet: quiet, name: name, stderr: stderr,
	}
	signal.Ignore(syscall.SIGPIPE)
	for _, sig := range stops {
		if sig == syscall.SIGHUP && signal.Ignored(sig) {
			continue
		}
		signal.Notify(s.signals, sig)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.listen()
	}()
	return ctx, func() {
		signal.Stop(s.signals)
		close(s.done)
		<-ended
		cancel(nil)
	}
}

// listen waits for signals until done is closed.
func (s *stopper) listen() {
	var first time.Time
	for {
		select {
		case <-s.done:
			return
		case sig := <-s.signals:
			switch {
			case first.IsZero():
				first = time.Now()
				s.stopped(stopped{sig})
				s.say(fmt.Sprintf("%s: stopping in good order, after a checkpoint if steps were made; another signal after %v stops at once, without one", sig, settle))
			case time.Since(first) >= settle:
				s.say(fmt.Sprintf("%s: stopped at once: what was not saved by then is lost", sig))
				die(sig)
			}
		}
	}
}

// say prints a line below a progress bar that may be on the terminal's last one.
func (s *stopper) say(line string) {
	if s.quiet.Load() {
		return
	}
	above := ""
	if Terminal(s.stderr) {
		above = "\n"
	}
	fmt.Fprintf(s.stderr, "%s%s: %s\n", above, s.name, line)
}

// die ends the process by the signal, so that its parent sees which one it was.
func die(sig os.Signal) {
	signal.Reset(sig)
	if n, ok := sig.(syscall.Signal); ok && syscall.Kill(os.Getpid(), n) == nil {
		time.Sleep(time.Second) // until it has come
	}
	os.Exit(Failed) // init of a container is not killed by a signal that it does not handle
}
