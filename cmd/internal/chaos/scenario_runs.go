package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"resslt/batcher/runs"
	"resslt/cmd/internal/child"
	"resslt/schemas"
	"resslt/schemas/errs"
)

// runScenarios have another run of the farm go wrong. The scenario's own run must not notice.
var runScenarios = []scenario{
	{"dead-run", "three runs whose trainers were killed and whose chunks' streams are gone; their tasks are still there, and their leases hold", deadRuns},
	{"hung-source", "three runs whose data is on a server that accepts connections and never answers", hungSource},
	{"evil-spec", "hostile records are written over those of other runs, and a worker starts anew", evilSpec},
	{"full-quota", "runs are opened until the broker's memory is all reserved; then another trainer comes", fullQuota},
}

// others is how many runs go wrong at once.
const others = 3

// roomy has the broker reserve memory for more runs than two.
func roomy(l *layout) { l.memory = "1GB" }

// crowded is roomy for ten runs and more. A worker keeps raw data like Fashion-MNIST in memory once
// for each live run, 47 MB, also where the runs have the same data.
func crowded(l *layout) {
	roomy(l)
	l.resident = 1 << 30
}

// bystander plays the scenario's run while other runs go wrong, and measures how long its
// trainer waits from then on.
func (s *stage) bystander(ctx context.Context, change func(*layout), spoil func(context.Context, *farm, jetstream.JetStream) (string, error)) error {
	return s.play(ctx, change, func(ctx context.Context, f *farm) error {
		if err := f.reach(ctx, 15); err != nil {
			return err
		}
		return f.withBroker(ctx, func(js jetstream.JetStream) error {
			began := time.Now()
			what, err := spoil(ctx, f, js)
			if err != nil {
				return err
			}
			if err := f.reach(ctx, f.steps); err != nil {
				return err
			}
			s.outcome = fmt.Sprintf("%s; the trainer waits %.1f s at most, equal weights", what, f.progress.longest(began, time.Now()).Seconds())
			return nil
		})
	})
}

// claim renews a lease of a trainer that does not exist, on no machine where anybody could look
// for it: workers take the run for a live one for so long.
func claim(ctx context.Context, js jetstream.JetStream, run string, term time.Duration) error {
	note, err := json.Marshal(map[string]any{"id": "gone", "trainer": "gone", "host": "gone", "pid": 1, "term": term, "window": window})
	if err == nil {
		_, err = js.Publish(ctx, schemas.TrainerSubject(run, "gone"), note)
	}
	return brokerErr("claim run", run, err)
}

// brokerErr is the error of a request of the driver's own.
func brokerErr(op, what string, err error) error {
	if err == nil {
		return nil
	}
	return errs.New(op, what, "", errs.BecauseErr(errs.ErrUnavailable, err))
}

// believed waits until the heartbeat of some worker says that it has the run in one of these
// states, and gives what it says. The watchdog ends the wait.
func believed(ctx context.Context, js jetstream.JetStream, name string, states ...string) (string, error) {
	for {
		run, err := runs.Lookup(ctx, js, name)
		if err != nil {
			return "", err
		}
		beats, err := run.Workers(ctx)
		if err != nil {
			return "", err
		}
		for _, b := range beats {
			for _, s := range states {
				if b.State == s {
					return strings.TrimSuffix(s+": "+b.Trouble, ": "), nil
				}
			}
		}
		if err := sleep(ctx, 100*time.Millisecond); err != nil {
			return "", fmt.Errorf("no worker has %s in state %v: %w", name, states, err)
		}
	}
}

func deadRuns(ctx context.Context, s *stage) error {
	return s.bystander(ctx, roomy, func(ctx context.Context, f *farm, js jetstream.JetStream) (string, error) {
		// Nobody does the tasks of these runs before they are dead.
		for _, w := range f.workers {
			if err := f.procOf(w).Signal(syscall.SIGSTOP); err != nil {
				return "", err
			}
		}
		if err := f.abandon(ctx, js); err != nil {
			return "", err
		}
		for _, w := range f.workers {
			if err := f.procOf(w).Signal(syscall.SIGCONT); err != nil {
				return "", err
			}
		}
		said, err := believed(ctx, js, "dead-0", "quarantined")
		return "the workers drop the tasks of the dead runs (" + said + ")", err
	})
}

// abandon starts trainers of other runs, kills each when its tasks are out, and deletes the
// stream of its chunks.
func (f *farm) abandon(ctx context.Context, js jetstream.JetStream) error {
	dead := map[string]*child.Process{}
	for i := range others {
		name := fmt.Sprintf("dead-%d", i)
		args := append([]string{
			"train", "--nats", f.url(f.trainer), "--run", name, "--window", fmt.Sprint(f.window),
			"--out", filepath.Join(f.dir, name),
		}, f.recipe(f.opts.Data)...)
		p, err := f.launch(name, 1, filepath.Join(f.opts.Bin, "resslt"), args...)
		if err != nil {
			return err
		}
		dead[name] = p
	}
	for name, p := range dead {
		err := f.until(ctx, "no tasks of "+name, func() (bool, error) {
			if !p.Alive() {
				return false, wrongf("%s ended: %s", p.Name, p.LastLine())
			}
			t, err := js.Stream(ctx, schemas.TasksStream(name))
			return err == nil && t.CachedInfo().State.Msgs > 0, nil
		})
		if err != nil {
			return err
		}
		if err := p.Kill(); err != nil {
			return err
		}
		if err := brokerErr("delete chunks of", name, js.DeleteStream(ctx, schemas.BatchStream(name))); err != nil {
			return err
		}
		if err := claim(ctx, js, name, time.Minute); err != nil {
			return err
		}
	}
	return nil
}

// open opens another run of the farm's own spec, with a lease that nobody renews.
func (f *farm) open(ctx context.Context, js jetstream.JetStream, name string, o runs.Options) error {
	own, err := runs.Lookup(ctx, js, f.name)
	if err != nil {
		return err
	}
	if _, err := runs.Open(ctx, js, name, *own.Spec(), o); err != nil {
		return err
	}
	return claim(ctx, js, name, 5*time.Minute)
}

func hungSource(ctx context.Context, s *stage) error {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // the system accepts; nobody reads
	if err != nil {
		return errs.New("listen", "127.0.0.1", "free a port", errs.BecauseErr(errs.ErrUnavailable, err))
	}
	defer silent.Close()
	return s.bystander(ctx, roomy, func(ctx context.Context, f *farm, js jetstream.JetStream) (string, error) {
		for i := range others {
			uri := fmt.Sprintf("wds:http://%s/shard-{000000..000003}.tar", silent.Addr())
			if err := f.open(ctx, js, fmt.Sprintf("hung-%d", i), runs.Options{DataURI: uri, Window: window}); err != nil {
				return "", err
			}
		}
		said, err := believed(ctx, js, "hung-0", "opening", "quarantined")
		return fmt.Sprintf("the workers wait for the data of %d runs (%s)", others, said), err
	})
}

// evilRecords are hostile records for CTRL_<run>, each with the digest of its own spec.
func evilRecords(own schemas.RunInfo) (map[string][]byte, error) {
	out := map[string][]byte{
		"nested": []byte(strings.Repeat("[", 100_000)),
		"cut":    []byte(`{"spec":{"version":1,`),
		"empty":  nil,
	}
	for name, change := range map[string]func(*schemas.RunSpec){
		"chunk":    func(s *schemas.RunSpec) { s.BatchSize, s.ChunkSamples = 1<<40, 1<<40 },
		"nothing":  func(s *schemas.RunSpec) { s.ChunkSamples = 0 },
		"negative": func(s *schemas.RunSpec) { s.BatchSize = -1 << 40 },
		"pixels": func(s *schemas.RunSpec) {
			s.Views = []schemas.ViewSpec{{Name: "v", Role: schemas.Teacher, Size: 1 << 30}}
		},
		"forever": func(s *schemas.RunSpec) { s.Epochs, s.StepsPerEpoch = 1<<62, 1<<62 },
		"samples": func(s *schemas.RunSpec) { s.Dataset.Samples = 1 << 62 },
		"order":   func(s *schemas.RunSpec) { s.Order = "blocked:shards=1,window=9223372036854775807" },
	} {
		info := own
		change(&info.Spec)
		info.Digest = info.Spec.Digest()
		raw, err := json.Marshal(info)
		if err != nil {
			return nil, errs.New("make record", name, "", errs.BecauseErr(errs.ErrUsage, err))
		}
		out[name] = raw
	}
	return out, nil
}

func evilSpec(ctx context.Context, s *stage) error {
	return s.bystander(ctx, crowded, func(ctx context.Context, f *farm, js jetstream.JetStream) (string, error) {
		own, err := runs.Lookup(ctx, js, f.name)
		if err != nil {
			return "", err
		}
		records, err := evilRecords(own.Info)
		if err != nil {
			return "", err
		}
		refused := 0
		for name, raw := range records {
			name = "evil-" + name
			if err := f.open(ctx, js, name, runs.Options{DataURI: f.opts.Data, Window: 2}); err != nil {
				return "", err
			}
			if _, err := js.Publish(ctx, schemas.SpecSubject(name), raw); err != nil {
				refused++ // by the broker: it is larger than any record of this run
			}
		}
		w := f.workers[0] // reads all of them anew
		w.busy.Lock()
		err = f.procOf(w).Kill()
		if err == nil {
			err = f.up(w)
		}
		w.busy.Unlock()
		if err != nil {
			return "", err
		}
		for name := range records {
			if err := f.names(ctx, w, "evil-"+name); err != nil {
				return "", err
			}
		}
		rows, err := f.resslt(ctx, "farm-ls", "farm", "ls", "--all", "--nats", f.url(f.trainer))
		if err == nil && strings.Count(rows, "evil-") < len(records) {
			err = wrongf("resslt farm ls lists %q", rows)
		}
		return fmt.Sprintf("%d records, of which the broker refuses %d, and a worker the others by name", len(records), refused), err
	})
}

// names waits until a service's log has a run's name. The watchdog ends the wait.
func (f *farm) names(ctx context.Context, s *service, run string) error {
	for {
		raw, err := f.procOf(s).Read()
		if err != nil || strings.Contains(raw, run+" ") || strings.Contains(raw, run+":") {
			return err
		}
		if err := sleep(ctx, 100*time.Millisecond); err != nil {
			return fmt.Errorf("%s never named %s: %w", s.name, run, err)
		}
	}
}

// resslt runs a verb to its end, which must be a success, and gives its output.
func (f *farm) resslt(ctx context.Context, name string, args ...string) (string, error) {
	p, err := f.launch(name, len(f.livesOf(name+"."))+1, filepath.Join(f.opts.Bin, "resslt"), args...)
	if err != nil {
		return "", err
	}
	if err := p.Wait(ctx); err != nil {
		return "", err
	}
	if p.Code() != 0 {
		return "", wrongf("resslt %s: exit %d: %s", args[0], p.Code(), p.LastLine())
	}
	out, err := p.Printed()
	return out, err
}

func fullQuota(ctx context.Context, s *stage) error {
	return s.bystander(ctx, crowded, func(ctx context.Context, f *farm, js jetstream.JetStream) (string, error) {
		n := 0
		for ; ; n++ {
			if err := f.open(ctx, js, fmt.Sprintf("full-%d", n), runs.Options{DataURI: f.opts.Data, Window: window}); err != nil {
				if !strings.Contains(err.Error(), "max_memory_store") || n == 0 {
					return "", err
				}
				break
			}
		}
		next, err := newFarm(f.opts, layout{name: s.name + "-2", steps: f.steps, window: window, ackWait: ackWait, on: f})
		if err != nil {
			return "", err
		}
		err = next.whole(ctx, func(ctx context.Context) error {
			exit, err := next.exitOf(ctx, next.trainer)
			if err != nil {
				return err
			}
			if err := exit.clear(1, "memory", "resslt farm ls, rm, gc"); err != nil {
				return err
			}
			// All of them count as just opened, so none goes by itself: somebody deletes one.
			if err := unclaim(ctx, js, "full-0"); err != nil {
				return err
			}
			_, err = next.resslt(ctx, "farm-rm", "farm", "rm", "full-0", "--yes", "--nats", f.url(f.trainer))
			return err
		})
		if err != nil {
			return "", err
		}
		if err := s.same(ctx, next); err != nil {
			return "", err
		}
		// It has ended, so its room is free.
		if err := f.open(ctx, js, "full-again", runs.Options{DataURI: f.opts.Data, Window: window}); err != nil {
			return "", wrongf("no room after the next run's end: %v", err)
		}
		return fmt.Sprintf("full after %d runs; the next trainer says so and ends, begins when one is deleted, and leaves its room to another", n), nil
	})
}

// unclaim returns the lease of claim.
func unclaim(ctx context.Context, js jetstream.JetStream, run string) error {
	_, err := js.Publish(ctx, schemas.TrainerSubject(run, "gone"), []byte(`{"id":"gone","trainer":"gone","left":true}`))
	return brokerErr("leave run", run, err)
}
