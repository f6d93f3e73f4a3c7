package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"time"

	"resslt/cmd/internal/child"

	"golang.org/x/sync/errgroup"
)

// target is what a kind of fault affects. Faults with different targets can happen at the
// same time.
type target int

const (
	someWorker target = iota
	everyWorker
	theBroker
	theTrainer
)

// kind is a way in which a process or its network fails.
type kind struct {
	name        string
	what        string // for a person
	target      target
	least, most time.Duration // length of the outage
	// strike injects the fault and ends it after the outage. It has the services that it
	// affects to itself meanwhile.
	strike func(ctx context.Context, f *farm, hit []*service, outage time.Duration) error
}

// kinds are the faults of a storm, by name. Some freezes and partitions last longer than
// the ack wait, so that tasks go to other workers meanwhile.
var kinds = []kind{
	{"worker-kill", "kill -9 of one worker, started again after the outage", someWorker, 0, 2 * time.Second, killed(syscall.SIGKILL)},
	{"worker-stop", "SIGTERM to one worker, started again", someWorker, 0, 2 * time.Second, killed(syscall.SIGTERM)},
	{"worker-freeze", "SIGSTOP of one worker past its ack wait, SIGCONT", someWorker, ackWait + ackWait/4, 2 * ackWait, frozen},
	{"worker-cut", "one worker's network cut past its ack wait, and restored", someWorker, ackWait + ackWait/4, 2 * ackWait, cut},
	{"farm-kill", "kill -9 of all workers, started again after 5 s", everyWorker, 5 * time.Second, 5 * time.Second, killed(syscall.SIGKILL)},
	{"broker-kill", "kill -9 of the broker, started again on the same store", theBroker, 0, 2 * time.Second, brokerKilled},
	{"broker-freeze", "SIGSTOP of the broker, SIGCONT", theBroker, 500 * time.Millisecond, 3 * time.Second, brokerFrozen},
	{"trainer-kill", "kill -9 of the trainer, resumed", theTrainer, 0, time.Second, killed(syscall.SIGKILL)},
	{"trainer-stop", "SIGINT to the trainer, resumed", theTrainer, 0, time.Second, killed(syscall.SIGINT)},
	{"trainer-freeze", "SIGSTOP of the trainer, SIGCONT", theTrainer, 500 * time.Millisecond, 4 * time.Second, frozen},
	{"trainer-cut", "the trainer's network cut, and restored", theTrainer, 500 * time.Millisecond, 4 * time.Second, cut},
}

// Kinds are the names of the faults that a storm can draw from.
func Kinds() []string {
	var out []string
	for _, k := range kinds {
		out = append(out, k.name)
	}
	return out
}

// trainerKinds are those of names that affect a trainer alone; all such kinds if there are none.
func trainerKinds(names []string) []string {
	var out, all []string
	for _, k := range kinds {
		if k.target != theTrainer {
			continue
		}
		all = append(all, k.name)
		if slices.Contains(names, k.name) {
			out = append(out, k.name)
		}
	}
	if len(out) == 0 {
		return all
	}
	return out
}

func kindByName(name string) (kind, bool) {
	i := slices.IndexFunc(kinds, func(k kind) bool { return k.name == name })
	if i < 0 {
		return kind{}, false
	}
	return kinds[i], true
}

// killed ends the services by a signal and restarts them.
func killed(sig syscall.Signal) func(context.Context, *farm, []*service, time.Duration) error {
	return func(ctx context.Context, f *farm, hit []*service, outage time.Duration) error {
		for _, s := range hit {
			if err := f.procOf(s).Signal(sig); err != nil {
				return err
			}
		}
		for _, s := range hit {
			if err := f.procOf(s).Wait(ctx); err != nil {
				return err
			}
		}
		if err := sleep(ctx, outage); err != nil {
			return err
		}
		for _, s := range hit {
			if err := f.up(s); err != nil {
				return err
			}
		}
		return nil
	}
}

// frozen stops the services without ending them, as on a machine that swaps or is being
// migrated.
func frozen(ctx context.Context, f *farm, hit []*service, outage time.Duration) error {
	for _, s := range hit {
		if err := f.procOf(s).Signal(syscall.SIGSTOP); err != nil {
			return err
		}
	}
	err := sleep(ctx, outage)
	for _, s := range hit {
		if cerr := f.procOf(s).Signal(syscall.SIGCONT); err == nil {
			err = cerr
		}
	}
	return err
}

// cut holds all bytes between the services and the broker.
func cut(ctx context.Context, _ *farm, hit []*service, outage time.Duration) error {
	for _, s := range hit {
		s.via.cut()
		defer s.via.restore()
	}
	return sleep(ctx, outage)
}

func brokerKilled(ctx context.Context, f *farm, _ []*service, outage time.Duration) error {
	if err := f.brokerProc().Kill(); err != nil {
		return err
	}
	if err := sleep(ctx, outage); err != nil {
		return err
	}
	return f.startBroker(ctx)
}

func brokerFrozen(ctx context.Context, f *farm, _ []*service, outage time.Duration) error {
	p := f.brokerProc()
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	err := sleep(ctx, outage)
	if cerr := p.Signal(syscall.SIGCONT); err == nil {
		err = cerr
	}
	return err
}

// part is one fault of a moment: most moments have one.
type part struct {
	kind   kind
	victim int           // which worker
	delay  time.Duration // after the moment
	outage time.Duration
}

// moment is a time for faults: when the step is done.
type moment struct {
	step  int64
	parts []part
}

// name is the kind of the moment's fault, or "mixed" if there are several.
func (m moment) name() string {
	if len(m.parts) == 1 {
		return m.parts[0].kind.name
	}
	return mixedName
}

const mixedName = "mixed"

func (m moment) String() string {
	var out []string
	for _, p := range m.parts {
		s := p.kind.name
		if p.kind.target == someWorker {
			s += fmt.Sprintf(" %d", p.victim)
		}
		out = append(out, fmt.Sprintf("%s for %v", s, p.outage.Round(time.Millisecond)))
	}
	return strings.Join(out, ", ")
}

// Steps at the ends of a run without planned faults: the first batch must have arrived,
// and the last fault needs its time.
const (
	firstFault = 5
	lastFault  = 25
)

// plan draws n faults from a seed. It is a pure function, so that a storm can be repeated.
// Each fault has a random step, in ascending order. If mixed, every third moment has two
// or three faults at once, with different targets, which count as so many of the n.
func plan(seed uint64, n int, steps int64, names []string, mixed bool) []moment {
	rng := rand.New(rand.NewPCG(seed, 0x63_68_61_6f_73)) // "chaos"
	var from []kind
	for _, name := range names {
		if k, ok := kindByName(name); ok {
			from = append(from, k)
		}
	}
	draw := func(k kind) part {
		p := part{kind: k, victim: rng.IntN(farmWorkers), outage: k.least}
		if k.most > k.least {
			p.outage += time.Duration(rng.Int64N(int64(k.most - k.least)))
		}
		return p
	}
	var out []moment
	for left, turn := n, 0; left > 0; turn++ {
		size := 1
		if mixed && turn%3 == 2 {
			size = min(2+rng.IntN(2), left)
		}
		var m moment
		hit := map[target]bool{}
		for range size {
			// The first pass takes every kind once, by name.
			k := from[turn%len(from)]
			if turn >= len(from) || len(m.parts) > 0 {
				k = from[rng.IntN(len(from))]
			}
			place := k.target
			if place == everyWorker {
				place = someWorker
			}
			if hit[place] {
				continue
			}
			hit[place] = true
			p := draw(k)
			if len(m.parts) > 0 {
				p.delay = time.Duration(rng.Int64N(int64(time.Second)))
			}
			m.parts = append(m.parts, p)
		}
		left -= len(m.parts)
		out = append(out, m)
	}
	var at []int64
	for range out {
		at = append(at, firstFault+rng.Int64N(max(1, steps-lastFault-firstFault)))
	}
	slices.Sort(at)
	for i := range out {
		out[i].step = at[i]
	}
	return out
}

// strike injects the moment's faults and returns when all outages are over.
func (f *farm) strike(ctx context.Context, m moment) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, p := range m.parts {
		var hit []*service
		switch p.kind.target {
		case someWorker:
			hit = f.workers[p.victim : p.victim+1]
		case everyWorker:
			hit = f.workers
		case theTrainer:
			hit = []*service{f.trainer}
		}
		g.Go(func() error {
			if err := sleep(ctx, p.delay); err != nil {
				return err
			}
			for _, s := range hit {
				s.busy.Lock()
				defer s.busy.Unlock()
				if f.isGone(s) {
					return nil // the trainer is done
				}
			}
			return p.kind.strike(ctx, f, hit, p.outage)
		})
	}
	return g.Wait()
}

func (f *farm) brokerProc() *child.Process {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.broker
}
