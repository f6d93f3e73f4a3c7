package chaos

import (
	"context"
	"path/filepath"
	"strings"
	"time"

	batchbroker "resslt/batcher/broker"
	"resslt/cmd/internal/broker"
	"resslt/schemas/errs"
)

var tenantScenarios = []scenario{
	{"without-rights", "under TLS and nkeys: a worker of another tenant, a worker with an observer's key, a trainer with a worker's key", withoutRights},
}

// withoutRights runs a farm of tenant vision, whose worker 1 is tenant speech's. What
// a role may not do is refused by name, and the run goes on with worker 0 alone.
func withoutRights(ctx context.Context, s *stage) error {
	keys := filepath.Join(s.opts.Dir, s.name+"-keys")
	if err := broker.Keys(broker.KeyOptions{
		Dir: keys, Tenants: []string{"vision", "speech"},
		Quota: broker.Quota{Memory: 128 << 20, Store: 256 << 20},
	}); err != nil {
		return err
	}
	as := func(tenant string, role batchbroker.Role) []string {
		return []string{"--tls-ca", filepath.Join(keys, "ca.pem"), "--nkey", filepath.Join(keys, tenant, string(role)+".nk")}
	}
	change := func(l *layout) {
		l.workers, l.keys, l.memory = 2, keys, "512MB"
		l.login = func(service string) []string {
			switch service {
			case "trainer":
				return as("vision", batchbroker.RoleTrainer)
			case "worker-1":
				return as("speech", batchbroker.RoleWorker)
			}
			return as("vision", batchbroker.RoleWorker)
		}
	}
	return s.play(ctx, change, func(ctx context.Context, f *farm) error {
		if err := f.reach(ctx, 15); err != nil {
			return err
		}
		trainer := append([]string{"train", "--nats", f.url(f.trainer), "--run", "mine", "--out", filepath.Join(f.dir, "second")}, as("vision", batchbroker.RoleWorker)...)
		for _, intruder := range []struct {
			name, program string
			args          []string
		}{
			{"observer-as-worker", "augmentd", append([]string{"--nats", f.url(f.trainer)}, as("vision", batchbroker.RoleObserver)...)},
			{"worker-as-trainer", "resslt", append(trainer, f.recipe(f.opts.Data)...)},
		} {
			p, err := f.launch(intruder.name, 1, filepath.Join(f.opts.Bin, intruder.program), intruder.args...)
			if err != nil {
				return err
			}
			wctx, cancel := context.WithTimeout(ctx, time.Minute)
			err = p.wait(wctx)
			cancel()
			if err != nil {
				return wrongf("%s does not end: %v", p.name, err)
			}
			s.outcome = p.lastLine()
			exit := &exitError{name: p.name, code: p.code(), line: s.outcome, log: p.log}
			if err := exit.clear(1, errs.ErrDenied.Error(), "Permissions Violation", "credentials"); err != nil {
				return err
			}
		}
		// The other tenant's worker finds no run, and says nothing of ours.
		said, err := f.procOf(f.workers[1]).read()
		if err != nil {
			return err
		}
		if strings.Contains(said, f.name+" ") || strings.Contains(said, "WARN") {
			return wrongf("a worker of another tenant said %q", said)
		}
		return nil
	})
}
