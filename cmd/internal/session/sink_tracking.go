package session

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"resslt/cmd/internal/online"
	"resslt/cmd/internal/runreport"
	"resslt/cmd/internal/track"
	"resslt/cmd/internal/track/mlflow"
	"resslt/cmd/internal/track/wandb"
	"resslt/cmd/internal/version"
	"resslt/schemas"
	"resslt/schemas/errs"
	"resslt/train"
)

// trackers are the kinds of --track, by the word before the colon.
var trackers = map[string]func(place string, getenv func(string) string) (s track.Service, name string, err error){
	"mlflow": mlflow.New,
	"wandb":  wandb.New,
}

// newTracker prepares a tracker of --track. It returns ErrUsage for one that there is not.
func newTracker(flag string) (track.Service, string, error) {
	kind, place, _ := strings.Cut(flag, ":")
	open := trackers[kind]
	if open == nil {
		return nil, "", errs.New("", "--track "+flag, "give mlflow:URI, wandb or wandb:PROJECT; TensorBoard's events are in OUT/"+tensorboardFolder+" in any case", errs.ErrUsage)
	}
	return open(place, os.Getenv)
}

// checkTrackers returns ErrUsage for a tracker that there is not, or that is named twice.
func checkTrackers(flags []string) error {
	named := map[string]bool{}
	for _, flag := range flags {
		_, name, err := newTracker(flag)
		if err != nil {
			return err
		}
		if named[name] {
			return errs.New("", "--track "+flag, "give it once", errs.Because(errs.ErrUsage, "the run is tracked there already"))
		}
		named[name] = true
	}
	return nil
}

// tracking has the trackers of --track follow the run. They read what the run writes, and
// nothing waits for them but its end.
func tracking(_ context.Context, l *leader, _ *schemas.RunInfo) (*subscriber, error) {
	var all []*track.Tracker
	var services []track.Options
	for _, flag := range l.opts.Track {
		s, name, err := newTracker(flag)
		if err != nil {
			return nil, err
		}
		services = append(services, track.Options{Name: name, Service: s, Print: l.interject})
	}
	if len(services) == 0 {
		return nil, nil
	}
	each := func(do func(*track.Tracker)) {
		var done sync.WaitGroup
		for _, t := range all {
			done.Go(func() { do(t) })
		}
		done.Wait()
	}
	failed, interrupted := false, func() bool { return false }
	return &subscriber{
		started: func(ctx context.Context) error {
			interrupted = func() bool { return ctx.Err() != nil }
			for _, o := range services {
				o.Run = l.tracked()
				t, err := track.Start(o)
				if err != nil {
					return err
				}
				all = append(all, t)
			}
			return nil
		},
		step: func(p train.Progress) {
			if p.Logged {
				wake(all)
			}
		},
		scored: func(online.Scores) { wake(all) },
		failed: func() { failed = true },
		close: func() error {
			each((*track.Tracker).Stop)
			if !failed {
				return nil
			}
			ctx, cancel := context.WithTimeout(context.Background(), track.LeaveWait)
			defer cancel()
			o := track.Outcome{Status: track.Failed, Time: time.Now()}
			if interrupted() {
				o.Status = track.Interrupted
			}
			each(func(t *track.Tracker) { t.Finish(ctx, o) })
			return nil
		},
		finished: func(ctx context.Context) {
			ctx, cancel := context.WithTimeout(ctx, track.FinishWait)
			defer cancel()
			o := track.Outcome{Status: track.Finished, Time: time.Now(), Summary: l.summarized()}
			for _, name := range []string{runreport.File, "summary.json", recipeFile} {
				o.Files = append(o.Files, filepath.Join(l.plan.Out, name))
			}
			each(func(t *track.Tracker) { t.Finish(ctx, o) })
		},
	}, nil
}

func wake(all []*track.Tracker) {
	for _, t := range all {
		t.Wake()
	}
}

// tracked is what a tracker is told of the run at its beginning.
func (l *leader) tracked() *track.Run {
	p, from := l.plan, l.provenance()
	r := &track.Run{
		Name: filepath.Base(p.Out), Notes: p.Recipe.Claim, Out: p.Out, Commit: version.Parts().Commit, Host: from.Host, Started: l.began,
		Digest: p.Spec.Digest(),
		Facts: []track.Setting{
			{Key: "build", Value: from.Build},
			{Key: "run_digest", Value: p.Spec.Digest()},
			{Key: "data_digest", Value: p.Spec.Dataset.Digest},
			{Key: "host", Value: from.Host},
			{Key: "command", Value: from.Command},
			{Key: "folder", Value: p.Out},
		},
	}
	for key, value := range p.Recipe.All() {
		r.Config = append(r.Config, track.Setting{Key: key, Value: value})
	}
	return r
}

// summarized are the figures of summary.json that a tracker shows.
func (l *leader) summarized() (out []track.Setting) {
	s, err := train.ReadSummary(l.summaryFile())
	if err != nil {
		if !errors.Is(err, errs.ErrNotFound) {
			l.warn(err)
		}
		return nil
	}
	number := func(key string, v *float64) {
		if v != nil {
			out = append(out, track.Setting{Key: key, Value: *v})
		}
	}
	number("final_loss", &s.FinalLoss)
	number("knn_top1", s.KNNTop1)
	number("knn_top1_untrained", s.KNNTop1Untrained)
	number("linear_top1", s.LinearTop1)
	number("linear_top1_untrained", s.LinearTop1Untrained)
	number("images_per_second", &s.ImagesPerSecond)
	number("train_seconds", &s.TrainSeconds)
	epochs := float64(s.Epochs)
	number("epochs", &epochs)
	return append(out, track.Setting{Key: "student_sha256", Value: s.StudentSHA256}, track.Setting{Key: "hardware", Value: s.Hardware})
}
