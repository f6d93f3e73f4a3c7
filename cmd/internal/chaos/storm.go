package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"resslt/train"
)

// Storm is a run under many faults.
type Storm struct {
	Name   string   // of the run and its folder
	Steps  int64    // a multiple of 20
	Faults int      // at least
	Kinds  []string // to draw from; default all
	Mixed  bool     // sometimes two or three at once
}

// Struck is the effect of one moment's faults.
type Struck struct {
	Fault    string  `json:"fault"` // kind, or "mixed"
	What     string  `json:"what"`  // with victims and outages
	Step     int64   `json:"step"`  // the last finished one when it began
	Outage   float64 `json:"outage_seconds"`
	Recovery float64 `json:"recovery_seconds"` // from the end of the outage to the next step
	Stall    float64 `json:"stall_seconds"`    // longest time without a step, until every step that it may have affected was trained
}

// StormReport is the result of a storm.
type StormReport struct {
	Name    string        `json:"name"`
	Seed    uint64        `json:"seed"`
	Steps   int64         `json:"steps"`
	Faults  int           `json:"faults"`
	Struck  []Struck      `json:"struck"`
	Exits   []string      `json:"exits"` // programs that ended on their own and were restarted, with their last line
	Seconds float64       `json:"seconds"`
	Summary train.Summary `json:"summary"`
	Wrong   []string      `json:"wrong"` // failed checks; empty if it passed
}

// Calm is a run without faults, which every other run of as many steps must equal.
type Calm struct {
	Summary train.Summary
	Losses  []stepLine
	Peak    map[string]int64 // largest resident size of each process, bytes
}

// RunCalm runs a farm without faults.
func RunCalm(ctx context.Context, o Options, name string, steps int64) (*Calm, error) {
	o = o.applyDefaults()
	f, err := newFarm(o, layout{name: name, steps: steps, workers: farmWorkers, window: window, ackWait: ackWait})
	if err != nil {
		return nil, err
	}
	if err := f.whole(ctx, func(context.Context) error { return nil }); err != nil {
		return nil, err
	}
	c := &Calm{Peak: map[string]int64{}}
	for _, p := range f.all {
		c.Peak[p.Name] = p.Peak.Load()
	}
	if c.Summary, c.Losses, err = f.result(); err != nil {
		return nil, err
	}
	if wrong := f.wrongs(ctx, nil); len(wrong) > 0 {
		return nil, fmt.Errorf("undisturbed run: %v", wrong)
	}
	return c, nil
}

// whole runs the farm from the first process to the trainer's end, and meanwhile in
// between.
func (f *farm) whole(ctx context.Context, meanwhile func(context.Context) error) (err error) {
	fctx, err := f.begin(ctx)
	defer func() {
		if eerr := f.end(); err == nil || errors.Is(err, context.Canceled) {
			err = eerr
		}
	}()
	if err != nil {
		return err
	}
	if err := f.startNew(f.trainer); err != nil {
		return err
	}
	if err := meanwhile(fctx); err != nil {
		return err
	}
	select {
	case <-f.finished:
		return nil
	case <-fctx.Done():
		return context.Cause(fctx)
	}
}

// RunStorm runs a farm with faults and compares its result with the calm run's. Failed
// checks are in the report; an error means that there is no report.
func RunStorm(ctx context.Context, o Options, s Storm, calm *Calm) (*StormReport, error) {
	o = o.applyDefaults()
	if len(s.Kinds) == 0 {
		s.Kinds = Kinds()
	}
	began := time.Now()
	r := &StormReport{Name: s.Name, Seed: o.Seed, Steps: s.Steps, Struck: []Struck{}, Exits: []string{}, Wrong: []string{}}
	f, err := newFarm(o, layout{name: s.Name, steps: s.Steps, workers: farmWorkers, proxied: true, window: window, ackWait: ackWait})
	if err != nil {
		return nil, err
	}
	moments := plan(o.Seed, s.Faults, s.Steps, s.Kinds, s.Mixed)
	err = f.whole(ctx, func(ctx context.Context) error {
		for i, m := range moments {
			next := s.Steps
			if i+1 < len(moments) {
				next = moments[i+1].step
			}
			struck, err := f.endure(ctx, m, next)
			if err != nil {
				return fmt.Errorf("%s at step %d: %w", m, m.step, err)
			}
			r.Faults += len(m.parts)
			r.Struck = append(r.Struck, *struck)
			o.Log(fmt.Sprintf("%s: step %d, %s: next step after %.2f s, longest stall %.2f s", s.Name, struck.Step, struck.What, struck.Recovery, struck.Stall))
		}
		return nil
	})
	r.Seconds = time.Since(began).Seconds()
	for _, e := range f.exits {
		r.Exits = append(r.Exits, e.Error())
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		r.Wrong = append(r.Wrong, err.Error())
		return r, nil
	}
	r.Wrong = append(r.Wrong, f.wrongs(ctx, calm)...)
	r.Summary, _, err = f.result()
	return r, err
}

// endure injects the moment's faults and waits until the farm has recovered: until the
// trainer has trained the steps that were in flight, or the next moment has come.
func (f *farm) endure(ctx context.Context, m moment, next int64) (*Struck, error) {
	at, err := f.await(ctx, func(e stepEvent) bool { return e.step >= m.step })
	if err != nil {
		return nil, err
	}
	began := time.Now()
	if err := f.strike(ctx, m); err != nil {
		return nil, err
	}
	repaired := time.Now()
	after, err := f.await(ctx, func(e stepEvent) bool { return e.at.After(repaired) })
	if err != nil {
		return nil, err
	}
	// window steps were in flight, and the trainer held a few more; a resumed trainer
	// first repeats the steps after its checkpoint.
	touched := min(max(at.step, after.step)+f.window+4, next)
	if _, err := f.await(ctx, func(e stepEvent) bool { return e.step >= touched }); err != nil {
		return nil, err
	}
	return &Struck{
		Fault: m.name(), What: m.String(), Step: at.step, Outage: repaired.Sub(began).Seconds(),
		Recovery: max(0, after.at.Sub(repaired).Seconds()), Stall: f.progress.longest(began, time.Now()).Seconds(),
	}, nil
}

// result reads the trainer's summary and losses.
func (f *farm) result() (train.Summary, []stepLine, error) {
	sum, err := train.ReadSummary(filepath.Join(f.out(), "summary.json"))
	if err != nil {
		return sum, nil, err
	}
	losses, err := readSteps(f.progress.path)
	return sum, losses, err
}

// wrongs lists the failed checks of a finished run. calm is nil for a run without a
// reference.
func (f *farm) wrongs(ctx context.Context, calm *Calm) []string {
	var out []string
	wrong := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	for _, p := range f.all {
		if line, err := p.Crashed(); err != nil || line != "" {
			wrong("%s crashed: %s%v (log: %s)", p.Name, line, err, p.Log)
		}
	}
	sum, losses, err := f.result()
	if err != nil {
		wrong("%v", err)
		return out
	}
	if sum.DigestMismatches != 0 || sum.ChunksTombstoned != 0 || sum.SamplesReplaced != 0 {
		wrong("%d digest mismatches, %d tombstones, %d samples replaced: want none", sum.DigestMismatches, sum.ChunksTombstoned, sum.SamplesReplaced)
	}
	for i, l := range losses {
		if l.Step != int64(i+1) {
			wrong("metrics.jsonl has step %d on line %d", l.Step, i+1)
			break
		}
	}
	if int64(len(losses)) != f.steps {
		wrong("metrics.jsonl has %d steps, the run %d", len(losses), f.steps)
	}
	if err := f.verify(ctx); err != nil {
		wrong("%v", err)
	}
	if calm == nil {
		return out
	}
	for i := range min(len(losses), len(calm.Losses)) {
		if losses[i] != calm.Losses[i] {
			wrong("the loss of step %d is %v, undisturbed it is %v: another batch, or other weights", i+1, losses[i].Loss, calm.Losses[i].Loss)
			break
		}
	}
	for _, d := range []struct{ what, got, want string }{
		{"student", sum.StudentSHA256, calm.Summary.StudentSHA256},
		{"teacher", sum.TeacherSHA256, calm.Summary.TeacherSHA256},
		{"queue", sum.QueueSHA256, calm.Summary.QueueSHA256},
	} {
		if d.got != d.want {
			wrong("%s_sha256 is %.12s, undisturbed it is %.12s", d.what, d.got, d.want)
		}
	}
	return out
}

// verify checks by the run's recipe log that no sample was missed or seen twice, and that
// every tenth step's chunks, made again from the data, have the digests of the trained
// ones.
func (f *farm) verify(ctx context.Context) error {
	p, err := f.launch("verify", 1, filepath.Join(f.opts.Bin, "resslt"), "record", "verify", f.out(), "--remake", "10")
	if err != nil {
		return err
	}
	if err := p.Wait(ctx); err != nil {
		return err
	}
	if p.Code() != 0 {
		return wrongf("resslt record verify: exit %d: %s", p.Code(), p.LastLine())
	}
	return nil
}

// removeFolder removes the folder of a farm that passed.
func removeFolder(o Options, name string) error { return os.RemoveAll(filepath.Join(o.Dir, name)) }
