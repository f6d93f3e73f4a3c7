package chaos

import (
	"context"
	"fmt"
	"path/filepath"
	"syscall"

	"resslt/schemas/errs"
)

var trainerScenarios = []scenario{
	{"second-trainer", "a second trainer is started on a run that has one", secondTrainer},
	{"unequal-answers", "a chunk has other bytes than a worker makes of the same task", unequalAnswers},
}

// secondTrainer keeps the first one waiting for batches: it must stay alive and not
// finish.
func secondTrainer(ctx context.Context, s *stage) error {
	return s.play(ctx, nil, func(ctx context.Context, f *farm) error {
		if err := f.reach(ctx, 15); err != nil {
			return err
		}
		for _, w := range f.workers {
			if err := f.procOf(w).Signal(syscall.SIGSTOP); err != nil {
				return err
			}
		}
		args := append([]string{
			"train", "--nats", f.url(f.trainer), "--run", f.name, "--window", fmt.Sprint(f.window),
			"--out", filepath.Join(f.dir, "second"),
		}, f.recipe(f.opts.Data)...)
		p, err := f.launch("second", 1, filepath.Join(f.opts.Bin, "resslt"), args...)
		if err != nil {
			return err
		}
		if err := p.Wait(ctx); err != nil {
			return err
		}
		s.outcome = p.LastLine()
		for _, w := range f.workers {
			if err := f.procOf(w).Signal(syscall.SIGCONT); err != nil {
				return err
			}
		}
		exit := &exitError{name: p.Name, code: p.Code(), line: s.outcome, log: p.Log}
		return exit.clear(2, "is training this run")
	})
}

// unequalAnswers replaces a chunk by one with a changed pixel and a matching digest, and
// issues its task again: the effect of a worker whose build rounds differently.
func unequalAnswers(ctx context.Context, s *stage) error {
	return s.ends(ctx, nil, 1, []string{errs.ErrDeterminism.Error(), "same build on every worker"}, func(ctx context.Context, f *farm) error {
		if err := f.reach(ctx, 15); err != nil {
			return err
		}
		return forge(ctx, f)
	})
}
