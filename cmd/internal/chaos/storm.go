package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

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
	Runs    int           `json:"runs"` // at once, each of so many steps
	Faults  int           `json:"faults"`
	Struck  []Struck      `json:"struck"`
	Exits   []string      `json:"exits"` // programs that ended on their own and were restarted, with their last line
	Seconds float64       `json:"seconds"`
	Summary train.Summary `json:"summary"`
	Wrong   []string      `json:"wrong"` // failed checks; empty if it passed
}

// Calm is a run without faults, which every other run of as many steps must equal.
type Calm struct {
	Seed    uint64 // of the run; 0: its recipe's
	Summary train.Summary
	Losses  []stepLine
	Peak    map[string]int64 // largest resident size of each process, bytes
}

// RunCalm runs a farm without faults. The seed is the run's; 0 is its recipe's.
func RunCalm(ctx context.Context, o Options, name string, steps int64, seed uint64) (*Calm, error) {
	o = o.applyDefaults()
	f, err := newFarm(o, layout{name: name, steps: steps, seed: seed, workers: farmWorkers, window: window, ackWait: ackWait})
	if err != nil {
		return nil, err
	}
	if err := f.whole(ctx, func(context.Context) error { return nil }); err != nil {
		return nil, err
	}
	c := &Calm{Seed: seed, Peak: map[string]int64{}}
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

// RunStorm runs a farm with faults and compares its result with the calm run's. For each of
// beside, a trainer of another run, of that calm run's seed, uses the same workers, and must equal
// it. Failed checks are in the report; an error means that there is no report.
func RunStorm(ctx context.Context, o Options, s Storm, calm *Calm, beside ...*Calm) (*StormReport, error) {
	o = o.applyDefaults()
	if len(s.Kinds) == 0 {
		s.Kinds = Kinds()
	}
	began := time.Now()
	r := &StormReport{Name: s.Name, Seed: o.Seed, Steps: s.Steps, Runs: 1 + len(beside), Struck: []Struck{}, Exits: []string{}, Wrong: []string{}}
	l := layout{name: s.Name, steps: s.Steps, workers: farmWorkers, proxied: true, window: window, ackWait: ackWait}
	if len(beside) > 0 {
		roomy(&l)
	}
	f, err := newFarm(o, l)
	if err != nil {
		return nil, err
	}
	f.guests = len(beside)
	farms, calms := []*farm{f}, append([]*Calm{calm}, beside...)
	l.workers, l.on = 0, f
	for i, c := range beside {
		l.name, l.seed = fmt.Sprintf("%s-%d", s.Name, i+2), c.Seed
		g, err := newFarm(o, l)
		if err != nil {
			f.closeProxies()
			return nil, err
		}
		farms = append(farms, g)
	}
	err = s.rage(ctx, farms, r)
	r.Seconds = time.Since(began).Seconds()
	for _, f := range farms {
		for _, e := range f.exits {
			r.Exits = append(r.Exits, e.Error())
		}
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		r.Wrong = append(r.Wrong, err.Error())
		return r, nil
	}
	for i, f := range farms {
		for _, w := range f.wrongs(ctx, calms[i]) {
			r.Wrong = append(r.Wrong, f.name+": "+w)
		}
	}
	r.Summary, _, err = f.result()
	return r, err
}

// rage runs the farms, the first of which has the broker and the workers, to the ends of their
// trainers, under the storm's faults. The others have faults of their trainers alone.
func (s *Storm) rage(ctx context.Context, farms []*farm, r *StormReport) error {
	var mu sync.Mutex // of r
	storm := func(ctx context.Context, f *farm, moments []moment) error {
		for i, m := range moments {
			next := s.Steps
			if i+1 < len(moments) {
				next = moments[i+1].step
			}
			at, err := f.await(ctx, func(e stepEvent) bool { return e.step >= m.step })
			if err != nil {
				return err
			}
			met := meets(f, farms, m)
			if met == 0 {
				continue
			}
			struck, err := f.endure(ctx, m, at, next)
			if err != nil {
				return fmt.Errorf("%s: %s at step %d: %w", f.name, m, m.step, err)
			}
			mu.Lock()
			r.Faults += met
			r.Struck = append(r.Struck, *struck)
			f.opts.Log(fmt.Sprintf("%s: step %d, %s: next step after %.2f s, longest stall %.2f s", f.name, struck.Step, struck.What, struck.Recovery, struck.Stall))
			mu.Unlock()
		}
		return nil
	}
	host, seed, share := farms[0], r.Seed, shareOf(s.Faults, len(farms))
	own := plan(seed, s.Faults-share*(len(farms)-1), s.Steps, s.Kinds, s.Mixed)
	return host.whole(ctx, func(ctx context.Context) error {
		all, actx := errgroup.WithContext(ctx)
		all.Go(func() error { return storm(actx, host, own) })
		for i, g := range farms[1:] {
			moments := plan(seed+uint64(i)+1, share, s.Steps, trainerKinds(s.Kinds), false)
			all.Go(func() error {
				return g.whole(actx, func(ctx context.Context) error { return storm(ctx, g, moments) })
			})
		}
		return all.Wait()
	})
}

// shareOf is how many of a storm's faults each run but the first has for its own trainer: half as
// many as an equal share.
func shareOf(faults, runs int) int { return faults / (2 * runs) }

// meets counts the faults of f's moment that meet a trainer at work: its own, or, where they are
// of what the farms share, any.
func meets(f *farm, farms []*farm, m moment) (n int) {
	works := slices.ContainsFunc(farms, func(g *farm) bool { return !g.isGone(g.trainer) })
	for _, p := range m.parts {
		if p.kind.target == theTrainer && !f.isGone(f.trainer) || p.kind.target != theTrainer && works {
			n++
		}
	}
	return n
}

// endure injects the moment's faults, at its step, and waits until the farm has recovered: until
// the trainer has trained the steps that were in flight, or the next moment has come.
func (f *farm) endure(ctx context.Context, m moment, at stepEvent, next int64) (*Struck, error) {
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

// maxResident is what no process of these small runs may have resident: a trainer has 340 MB,
// libtorch's code and data, whatever happens to it.
const maxResident = 512 << 20

// wrongs lists the failed checks of a finished run. calm is nil for a run without a
// reference.
func (f *farm) wrongs(ctx context.Context, calm *Calm) []string {
	var out []string
	wrong := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	most := int64(maxResident)
	if f.resident != 0 {
		most = f.resident
	}
	for _, p := range f.all {
		if line, err := p.Crashed(); err != nil || line != "" {
			wrong("%s crashed: %s%v (log: %s)", p.Name, line, err, p.Log)
		}
		if peak := p.Peak.Load(); peak > most {
			wrong("%s had %d MB resident, more than %d", p.Name, peak>>20, most>>20)
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

// removeFolder removes the folders of a farm that passed, and of those that used its workers.
func removeFolder(o Options, name string) error {
	all, err := filepath.Glob(filepath.Join(o.Dir, name+"-[0-9]*"))
	for _, dir := range append(all, filepath.Join(o.Dir, name)) {
		if rerr := os.RemoveAll(dir); err == nil {
			err = rerr
		}
	}
	return err
}
