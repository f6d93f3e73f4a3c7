package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"resslt/batcher/broker"
	"resslt/batcher/runs"
	"resslt/schemas/errs"
)

var workerScenarios = []scenario{
	{"partition", "a worker is cut off past its ack wait during a task, then returns with the result", partition},
	{"one-task-twice", "a worker is frozen past its ack wait during a task, and continues after another worker has done it", oneTaskTwice},
	{"lost-connections", "the network forgets every worker's connection without notifying either end; new ones pass", lostConnections},
	{"cable-pulled", "all workers are in a network namespace of their own, whose link to the trainer and the broker goes down past the ack wait, twice", cablePulled},
	{"two-builds", "workers of the build before runs had bounds, then one of today's beside them, then that alone; each is killed once", twoBuilds},
	{"other-engine", "workers of another build, without the run's engine, are all there are; then one that has it", otherEngine},
	{"other-data", "a worker whose copy of the data has other bytes joins the farm", otherData},
}

// held stops worker 0 for longer than the ack wait, and checks that its tasks were issued
// again and that a second answer, if any, was refused.
func (s *stage) held(ctx context.Context, strike func(context.Context, *farm, []*service, time.Duration) error) error {
	return s.play(ctx, nil, func(ctx context.Context, f *farm) error {
		if err := f.reach(ctx, 15); err != nil {
			return err
		}
		if err := strike(ctx, f, f.workers[:1], 2*ackWait); err != nil {
			return err
		}
		if err := f.reach(ctx, f.steps); err != nil {
			return err
		}
		again, err := f.redelivered(ctx)
		if err != nil {
			return err
		}
		if again == 0 {
			return wrongf("no task was given out again")
		}
		s.outcome = fmt.Sprintf("the run continues; %d tasks issued again, equal weights", again)
		return nil
	})
}

// redelivered ends the workers, so that they write their last heartbeats, and counts the
// tasks that were redelivered or whose chunk existed already.
func (f *farm) redelivered(ctx context.Context) (int64, error) {
	for _, w := range f.workers {
		w.busy.Lock()
		err := f.procOf(w).Ask(ctx, syscall.SIGTERM)
		f.leave(w)
		w.busy.Unlock()
		if err != nil {
			return 0, err
		}
	}
	nc, js, err := broker.Connect(ctx, broker.ConnectOptions{URL: "nats://" + f.addr, Name: "chaos"})
	if err != nil {
		return 0, err
	}
	defer nc.Close()
	run, err := runs.Lookup(ctx, js, f.name)
	if err != nil {
		return 0, err
	}
	beats, err := run.Workers(ctx)
	n := int64(0)
	for _, b := range beats {
		n += b.Redelivered
	}
	return n, err
}

func partition(ctx context.Context, s *stage) error { return s.held(ctx, cut) }

func oneTaskTwice(ctx context.Context, s *stage) error { return s.held(ctx, frozen) }

func lostConnections(ctx context.Context, s *stage) error {
	return s.play(ctx, nil, func(ctx context.Context, f *farm) error {
		if err := f.reach(ctx, 15); err != nil {
			return err
		}
		began := time.Now()
		for _, w := range f.workers {
			w.via.forget()
		}
		// Chunks made before are buffered; further ones need new connections.
		if err := f.reach(ctx, 15+2*window); err != nil {
			return err
		}
		s.outcome = fmt.Sprintf("the workers reconnect; the trainer waits %.0f s at most, equal weights", f.progress.longest(began, time.Now()).Seconds())
		return nil
	})
}

func cablePulled(ctx context.Context, s *stage) (err error) {
	behind, err := newNetns()
	if errors.Is(err, errs.ErrUnsupported) {
		s.outcome = "not played: " + err.Error()
		return nil
	}
	if err != nil {
		return err
	}
	defer func() {
		if cerr := behind.close(); err == nil {
			err = cerr
		}
	}()
	return s.play(ctx, func(l *layout) { l.proxied, l.behind = false, behind }, func(ctx context.Context, f *farm) error {
		var waits []string
		for _, outage := range []time.Duration{2 * ackWait, 6 * ackWait} {
			last, _ := f.progress.last()
			at := max(10, last.step)
			if err := f.reach(ctx, at); err != nil {
				return err
			}
			began := time.Now()
			if err := behind.set(false); err != nil {
				return err
			}
			if err := sleep(ctx, outage); err != nil {
				return err
			}
			if err := behind.set(true); err != nil {
				return err
			}
			if err := f.reach(ctx, at+2*window); err != nil {
				return err
			}
			waits = append(waits, fmt.Sprintf("%.1f s for %v", f.progress.longest(began, time.Now()).Seconds(), outage))
		}
		s.outcome = fmt.Sprintf("the workers return; the trainer waits %s without the link, equal weights", strings.Join(waits, " and "))
		return nil
	})
}

// earlierBuild is where the programs of an earlier build are, under Options.Bin.
const earlierBuild = "previous/*/augmentd"

func twoBuilds(ctx context.Context, s *stage) error {
	found, err := filepath.Glob(filepath.Join(s.opts.Bin, earlierBuild))
	if err != nil || len(found) == 0 {
		s.outcome = "not played: no " + filepath.Join(s.opts.Bin, earlierBuild) + " (go test ./cmd/resslt -run BuildsMeet builds it)"
		return nil //nolint:nilerr // the pattern is a constant
	}
	return s.play(ctx, func(l *layout) { l.program = found[0] }, func(ctx context.Context, f *farm) error {
		if err := f.reach(ctx, 15); err != nil {
			return err
		}
		again := func(w *service, program string) error {
			f.program = program
			w.busy.Lock()
			defer w.busy.Unlock()
			if err := f.procOf(w).Kill(); err != nil {
				return err
			}
			return f.up(w)
		}
		// Worker 0 stays what it is, worker 1 becomes today's, worker 2 is killed as what it was.
		if err := again(f.workers[1], ""); err != nil {
			return err
		}
		if err := again(f.workers[2], found[0]); err != nil {
			return err
		}
		if err := f.reach(ctx, 15+2*window); err != nil {
			return err
		}
		// What comes after the window is today's worker's alone, as the first steps were the
		// earlier build's.
		for _, w := range []*service{f.workers[0], f.workers[2]} {
			f.leave(w)
			if err := f.procOf(w).Kill(); err != nil {
				return err
			}
		}
		if err := f.reach(ctx, 15+4*window); err != nil {
			return err
		}
		s.outcome = fmt.Sprintf("workers of %s serve the run, then today's beside them, then today's alone, equal weights", filepath.Base(filepath.Dir(found[0])))
		return nil
	})
}

func otherEngine(ctx context.Context, s *stage) error {
	other := filepath.Join(s.opts.Bin, "augmentd-nocgo")
	if _, err := os.Stat(other); err != nil {
		return errs.New("find program", "augmentd-nocgo", "run `make chaos`, which builds it", errs.BecauseErr(errs.ErrUnavailable, err))
	}
	return s.play(ctx, func(l *layout) { l.program, l.stallTimeout = other, 5*time.Second }, func(ctx context.Context, f *farm) error {
		line, err := f.logged(ctx, f.workers[0], "needs engine")
		if err != nil {
			return err
		}
		if !strings.Contains(line, "hint: run a worker that has engine") {
			return wrongf("the worker logged %q", line)
		}
		// The trainer must say that nobody works for it.
		exit, err := f.exitOf(ctx, f.trainer)
		if err != nil {
			return err
		}
		if err := exit.clear(1, "did not come", "augmentd"); err != nil {
			return err
		}
		s.outcome = exit.line
		f.program = ""
		w := f.workers[1]
		w.busy.Lock()
		defer w.busy.Unlock()
		if err := f.procOf(w).Kill(); err != nil {
			return err
		}
		return f.up(w)
	})
}

func otherData(ctx context.Context, s *stage) error {
	dir, err := fashion(s.opts.Data)
	if err != nil {
		return err
	}
	// The run's data is behind a link that points elsewhere when the last worker starts,
	// as on a machine with another copy.
	link := filepath.Join(s.opts.Dir, s.name, "data")
	other := filepath.Join(s.opts.Dir, s.name, "other")
	if err := swapped(dir, other); err != nil {
		return err
	}
	if err := os.Symlink(dir, link); err != nil {
		return errs.New("link data", link, "choose another --dir", errs.BecauseErr(errs.ErrUnavailable, err))
	}
	s.opts.Data = "fashion-mnist:" + link
	return s.play(ctx, nil, func(ctx context.Context, f *farm) error {
		if err := f.reach(ctx, 10); err != nil {
			return err
		}
		w := f.workers[2]
		w.busy.Lock()
		defer w.busy.Unlock()
		if err := f.procOf(w).Kill(); err != nil {
			return err
		}
		if err := os.Remove(link); err != nil {
			return err
		}
		if err := os.Symlink(other, link); err != nil {
			return err
		}
		if err := f.up(w); err != nil {
			return err
		}
		line, err := f.logged(ctx, w, "digest")
		if err != nil {
			return err
		}
		if !strings.Contains(line, "mismatch") || !strings.Contains(line, "--data URI") {
			return wrongf("the worker logged %q", line)
		}
		s.outcome = line
		// The proof of the ledger reads the run's own data by the link.
		if err := os.Remove(link); err != nil {
			return err
		}
		return os.Symlink(dir, link)
	})
}

// fashion is the folder of a fashion-mnist URI.
func fashion(uri string) (string, error) {
	scheme, dir, _ := strings.Cut(uri, ":")
	if scheme != "fashion-mnist" {
		return "", errs.New("scenario other-data", uri, "run it with --data fashion-mnist:DIR", errs.ErrUnsupported)
	}
	if dir == "" {
		dir = "/usr/share/datasets/fashion-mnist" // of Debian's package
	}
	return dir, nil
}

// swapped makes a Fashion-MNIST with dir's test split as its training split.
func swapped(dir, to string) error {
	if err := os.MkdirAll(to, 0o755); err != nil {
		return errs.New("make folder", to, "choose another --dir", errs.BecauseErr(errs.ErrUnavailable, err))
	}
	for _, part := range []string{"images-idx3-ubyte.gz", "labels-idx1-ubyte.gz"} {
		for from, as := range map[string]string{"t10k-": "train-", "train-": "t10k-"} {
			if err := copyFile(filepath.Join(dir, from+part), filepath.Join(to, as+part)); err != nil {
				return errs.New("copy data", from+part, "install dataset-fashion-mnist", errs.BecauseErr(errs.ErrNotFound, err))
			}
		}
	}
	return nil
}

func copyFile(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := out.Close(); err == nil {
			err = cerr
		}
	}()
	_, err = io.Copy(out, in)
	return err
}
