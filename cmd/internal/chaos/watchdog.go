package chaos

import (
	"context"
	"fmt"
	"syscall"
	"time"

	"resslt/schemas/errs"
)

const guardEvery = 200 * time.Millisecond

// measure notes the largest resident size of every process.
func (f *farm) measure() {
	f.mu.Lock()
	all := f.all
	f.mu.Unlock()
	for _, p := range all {
		if now, peak := p.Resident(); now > 0 {
			p.Peak.Store(max(peak, p.Peak.Load()))
		}
	}
}

// guard is the watchdog: a trainer that makes no step and does not end hangs, as does a
// run that continues for as long after the trainer's end. Every process then dumps its
// goroutines.
func (f *farm) guard(ctx context.Context) error {
	began := time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-f.finished:
			if f.guests > 0 { // which have watchdogs of their own
				for sleep(ctx, guardEvery) == nil {
					f.measure()
				}
				return nil
			}
			if sleep(ctx, f.opts.Quiet) != nil {
				return nil //nolint:nilerr // the scenario has ended
			}
			return f.hang(ctx, fmt.Sprintf("the trainer has been done for %v, and the scenario has not ended", f.opts.Quiet))
		case <-time.After(guardEvery):
		}
		f.measure()
		p := f.procOf(f.trainer)
		last, _ := f.progress.last()
		since := last.at
		if since.IsZero() {
			since = began
		}
		quiet := time.Since(since)
		// A restarted trainer gets its time again, but not one that restarts all the time.
		if p != nil && quiet < 3*f.opts.Quiet {
			quiet = min(quiet, time.Since(p.Began))
		}
		if quiet < f.opts.Quiet {
			continue
		}
		return f.hang(ctx, fmt.Sprintf("no step after step %d for %v, and no exit", last.step, quiet.Round(time.Second)))
	}
}

// hang makes every program dump its goroutines to its log and end.
func (f *farm) hang(ctx context.Context, what string) error {
	for _, s := range f.services() {
		f.leave(s)
	}
	f.mu.Lock()
	trainer, broker, all := f.trainer.proc, f.broker, f.all
	f.mu.Unlock()
	for _, p := range all {
		if p != broker {
			_ = p.Signal(syscall.SIGQUIT)
			_ = p.Signal(syscall.SIGCONT) // a stopped one writes nothing
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if trainer != nil {
		_ = trainer.Wait(ctx) // the dump is complete when it has ended
	}
	return errs.New("watch trainer", f.name, "see the goroutines in "+f.dir+"/*.log", errs.Because(errs.ErrUnavailable, "hang: "+what))
}
