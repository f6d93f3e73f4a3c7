package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"resslt/schemas/errs"
)

var diskScenarios = []scenario{
	{"slow-disk", "tasks and chunks are in files on a disk that comes to do 50 writes a second, each of which the broker waits for", playSlowDisk},
}

const (
	slowDiskSize = 64 << 20
	slowWrites   = 50 // a second; one of a message takes several
)

func playSlowDisk(ctx context.Context, s *stage) (err error) {
	dir := filepath.Join(s.opts.Dir, "slow")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return errs.New("make folder", dir, "choose another --dir", errs.BecauseErr(errs.ErrUnavailable, err))
	}
	disk, err := newSlowDisk(s.opts.Dir, dir, slowDiskSize)
	if errors.Is(err, errs.ErrUnsupported) {
		s.outcome = "not played: " + err.Error()
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, disk.close()) }()
	change := func(l *layout) {
		l.proxied, l.store, l.train = false, filepath.Join(dir, "store"), []string{"--storage", "file"}
		l.server = "max_file_store: 1GB" // it would else go by the free space that it finds at its start
	}
	return s.play(ctx, change, func(ctx context.Context, f *farm) error {
		if err := f.reach(ctx, 5); err != nil {
			return err
		}
		began := time.Now()
		if err := f.reach(ctx, 15); err != nil {
			return err
		}
		slowed := time.Now()
		if err := disk.slow(slowWrites); err != nil {
			return err
		}
		if err := f.reach(ctx, 15+3*window); err != nil {
			return err
		}
		ended := time.Now()
		s.outcome = fmt.Sprintf("the run goes on at %.1f steps/s after %.0f, the trainer waits %.1f s at most, equal weights",
			3*window/ended.Sub(slowed).Seconds(), 10/slowed.Sub(began).Seconds(), f.progress.longest(slowed, ended).Seconds())
		return disk.slow(0)
	})
}
