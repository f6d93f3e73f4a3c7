package chaos

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"resslt/schemas/errs"
)

var brokerScenarios = []scenario{
	{"wiped-store", "the broker is killed and comes back with an empty store", wipedStore},
	{"flipped-bits", "the broker is killed, bits flip in every block of its store, it comes back", flippedBits},
	{"full-disk", "something fills the disk of the broker's store, and frees it again", fullDisk},
	{"file-quota", "the broker may store next to nothing in files", fileQuota},
	{"memory-quota", "the broker may store less in memory than the run's window", memoryQuota},
	{"broker-away", "the broker is away for longer than the trainer waits", brokerAway},
	{"lost-connection", "the network forgets the trainer's connection without notifying either end; new ones pass", lostConnection},
}

// downtime kills the broker, does something to its store, and restarts it.
func (f *farm) downtime(ctx context.Context, meanwhile func() error) error {
	if err := f.brokerProc().Kill(); err != nil {
		return err
	}
	if err := meanwhile(); err != nil {
		return err
	}
	return f.startBroker(ctx)
}

func wipedStore(ctx context.Context, s *stage) error {
	return s.play(ctx, nil, func(ctx context.Context, f *farm) error {
		if err := f.reach(ctx, 15); err != nil {
			return err
		}
		began := time.Now()
		if err := f.downtime(ctx, func() error { return os.RemoveAll(f.store) }); err != nil {
			return err
		}
		if err := f.reach(ctx, 15+2*window); err != nil {
			return err
		}
		s.outcome = fmt.Sprintf("the run is set up again; the trainer waits %.1f s at most, equal weights", f.progress.longest(began, time.Now()).Seconds())
		return nil
	})
}

// flippedBits flips bits in messages of all three streams, also in chunks, which are in
// files here.
func flippedBits(ctx context.Context, s *stage) error {
	return s.play(ctx, func(l *layout) { l.train = []string{"--storage", "file"} }, func(ctx context.Context, f *farm) error {
		rng := rand.New(rand.NewPCG(f.opts.Seed, 0x666c6970)) // "flip"
		flipped, repaired := 0, time.Duration(0)
		for _, step := range []int64{15, 30} {
			if err := f.reach(ctx, step); err != nil {
				return err
			}
			began := time.Now()
			err := f.downtime(ctx, func() error {
				n, err := flip(f.store, rng)
				flipped += n
				return err
			})
			if err != nil {
				return err
			}
			if err := f.reach(ctx, step+window+1); err != nil {
				return err
			}
			repaired = max(repaired, f.progress.longest(began, time.Now()))
		}
		s.outcome = fmt.Sprintf("%d bits flipped, the damaged chunks are made again; the trainer waits %.1f s at most, equal weights", flipped, repaired.Seconds())
		return nil
	})
}

// flipEvery is the mean distance between flipped bits, in bytes: in every block some
// chunks are hit and some are not.
const flipEvery = 40_000

// flip flips bits in the message blocks under dir, at least one in each.
func flip(dir string, rng *rand.Rand) (int, error) {
	n, blocks := 0, 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".blk" {
			return err
		}
		raw, err := os.ReadFile(path)
		if err != nil || len(raw) == 0 {
			return err
		}
		blocks++
		for range 1 + len(raw)/flipEvery {
			raw[rng.IntN(len(raw))] ^= 1 << rng.IntN(8)
			n++
		}
		return os.WriteFile(path, raw, 0o600)
	})
	if err == nil && blocks < 2 {
		err = fmt.Errorf("%d message blocks only", blocks)
	}
	if err != nil {
		return n, errs.New("flip bits under", dir, "", errs.BecauseErr(errs.ErrUnavailable, err))
	}
	return n, nil
}

// diskSize is the size of the file system that fullDisk fills. It has ample space for the
// tasks and chunks of the window.
const diskSize = 16 << 20

func fullDisk(ctx context.Context, s *stage) (err error) {
	disk := filepath.Join(s.opts.Dir, "disk")
	if err := os.MkdirAll(disk, 0o755); err != nil {
		return errs.New("make folder", disk, "choose another --dir", errs.BecauseErr(errs.ErrUnavailable, err))
	}
	unmount, err := mountDisk(disk, diskSize)
	if errors.Is(err, errs.ErrUnsupported) {
		s.outcome = "not played: " + err.Error()
		return nil
	}
	if err != nil {
		return err
	}
	defer func() {
		if uerr := unmount(); err == nil {
			err = uerr
		}
	}()
	change := func(l *layout) {
		l.store, l.brokerTimeout, l.train = filepath.Join(disk, "store"), 5*time.Second, []string{"--storage", "file"}
		l.server = "max_file_store: 1GB" // it would else go by the free space that it finds at its start
	}
	return s.play(ctx, change, func(ctx context.Context, f *farm) error {
		if err := f.reach(ctx, 15); err != nil {
			return err
		}
		began := time.Now()
		ballast := filepath.Join(disk, "somebody-elses")
		if err := fill(ballast); err != nil {
			return err
		}
		// Either the run continues, or the trainer reports the cause.
		exit, err := f.exitOrStep(ctx, 15+4*window)
		if err != nil {
			return err
		}
		if exit != nil {
			if err := exit.clear(1, "broker"); err != nil {
				return err
			}
			s.outcome = exit.line
		} else {
			s.outcome = "the run continues"
		}
		// Somebody frees the disk, and starts the broker again, which has given its
		// store up.
		if err := os.Remove(ballast); err != nil {
			return err
		}
		if err := f.downtime(ctx, func() error { return nil }); err != nil {
			return err
		}
		if err := f.reach(ctx, 15+5*window); err != nil {
			return err
		}
		s.outcome += fmt.Sprintf("; with space and a new broker it continues after %.0f s in all, equal weights", f.progress.longest(began, time.Now()).Seconds())
		return nil
	})
}

// exitOrStep waits until the trainer ends on its own, or returns nil if it makes a step.
func (f *farm) exitOrStep(ctx context.Context, step int64) (exit *exitError, err error) {
	err = f.until(ctx, fmt.Sprintf("the trainer did not end, nor come to step %d,", step), func() (bool, error) {
		exit = f.exited(f.trainer)
		last, _ := f.progress.last()
		return exit != nil || last.step >= step, nil //nolint:nilerr // exit is what is waited for, no failure
	})
	return exit, err
}

// fill writes a file until the disk is full.
func fill(path string) error {
	out, err := os.Create(path)
	if err != nil {
		return errs.New("fill disk", path, "", errs.BecauseErr(errs.ErrUnavailable, err))
	}
	defer out.Close()
	for size := 1 << 20; size > 0; {
		if _, err = out.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
	if !errors.Is(err, syscall.ENOSPC) {
		return errs.New("fill disk", path, "", errs.BecauseErr(errs.ErrUnavailable, err))
	}
	return nil
}

func fileQuota(ctx context.Context, s *stage) error {
	change := func(l *layout) { l.server, l.brokerTimeout = "max_file_store: 4KB", 5*time.Second }
	return s.ends(ctx, change, 1, []string{"broker", "store"}, func(context.Context, *farm) error { return nil })
}

func memoryQuota(ctx context.Context, s *stage) error {
	change := func(l *layout) { l.memory = "32MB" }
	return s.ends(ctx, change, 1, []string{"MiB of memory", "max_memory_store", "--window"}, func(context.Context, *farm) error { return nil })
}

func brokerAway(ctx context.Context, s *stage) error {
	return s.play(ctx, func(l *layout) { l.brokerTimeout = 3 * time.Second }, func(ctx context.Context, f *farm) error {
		if err := f.reach(ctx, 15); err != nil {
			return err
		}
		return f.downtime(ctx, func() error {
			exit, err := f.exitOf(ctx, f.trainer)
			if err != nil {
				return err
			}
			s.outcome = exit.line
			if err := exit.clear(1, "gave up after", "does not answer", "--resume"); err != nil {
				return err
			}
			// The service manager tries again; that must be as clear.
			if err := sleep(ctx, 2*time.Second); err != nil {
				return err
			}
			f.mu.Lock()
			exits := f.exits
			f.mu.Unlock()
			for _, e := range exits[1:] {
				if err := e.clear(1, "connect to broker"); err != nil && !strings.Contains(e.line, "gave up after") {
					return err
				}
			}
			return nil
		})
	})
}

func lostConnection(ctx context.Context, s *stage) error {
	return s.play(ctx, nil, func(ctx context.Context, f *farm) error {
		if err := f.reach(ctx, 15); err != nil {
			return err
		}
		began := time.Now()
		f.trainer.via.forget()
		if err := f.reach(ctx, 15+2*window); err != nil {
			return err
		}
		s.outcome = fmt.Sprintf("the trainer reconnects; it waits %.0f s at most, equal weights", f.progress.longest(began, time.Now()).Seconds())
		return nil
	})
}
