package chaos

import (
	"context"
	"path/filepath"
	"strings"
	"time"

	"resslt/batcher/broker"
	"resslt/cmd/internal/access"
	"resslt/schemas/errs"
)

var tenantScenarios = []scenario{
	{"without-rights", "under TLS and nkeys: a worker of another tenant, a worker with an observer's key, a trainer with a worker's key", withoutRights},
}

// withoutRights runs a farm of tenant vision whose worker 1 belongs to tenant speech. The
// broker denies what a role may not do by name, and the run continues with worker 0 alone.
func withoutRights(ctx context.Context, s *stage) error {
	keys := filepath.Join(s.opts.Dir, s.name+"-keys")
	if err := access.Keys(access.KeyOptions{
		Dir: keys, Tenants: []string{"vision", "speech"},
		Quota: access.Quota{Memory: 128 << 20, Store: 256 << 20},
	}); err != nil {
		return err
	}
	as := func(tenant string, role broker.Role) []string {
		return []string{"--tls-ca", filepath.Join(keys, "ca.pem"), "--nkey", filepath.Join(keys, tenant, string(role)+".nk")}
	}
	change := func(l *layout) {
		l.workers, l.keys, l.memory = 2, keys, "512MB"
		l.login = func(service string) []string {
			switch service {
			case "trainer":
				return as("vision", broker.RoleTrainer)
			case "worker-1":
				return as("speech", broker.RoleWorker)
			}
			return as("vision", broker.RoleWorker)
		}
	}
	return s.play(ctx, change, func(ctx context.Context, f *farm) error {
		if err := f.reach(ctx, 15); err != nil {
			return err
		}
		trainer := append([]string{"train", "--nats", f.url(f.trainer), "--run", "mine", "--out", filepath.Join(f.dir, "second")}, as("vision", broker.RoleWorker)...)
		for _, intruder := range []struct {
			name, program string
			args          []string
		}{
			{"observer-as-worker", "augmentd", append([]string{"--nats", f.url(f.trainer)}, as("vision", broker.RoleObserver)...)},
			{"worker-as-trainer", "resslt", append(trainer, f.recipe(f.opts.Data)...)},
		} {
			p, err := f.launch(intruder.name, 1, filepath.Join(f.opts.Bin, intruder.program), intruder.args...)
			if err != nil {
				return err
			}
			wctx, cancel := context.WithTimeout(ctx, time.Minute)
			err = p.Wait(wctx)
			cancel()
			if err != nil {
				return wrongf("%s does not end: %v", p.Name, err)
			}
			s.outcome = p.LastLine()
			exit := &exitError{name: p.Name, code: p.Code(), line: s.outcome, log: p.Log}
			if err := exit.clear(1, errs.ErrDenied.Error(), "Permissions Violation", "credentials"); err != nil {
				return err
			}
		}
		// The other tenant's worker finds no run and logs nothing about ours.
		log, err := f.procOf(f.workers[1]).Read()
		if err != nil {
			return err
		}
		if strings.Contains(log, f.name+" ") || strings.Contains(log, "WARN") {
			return wrongf("a worker of another tenant logged %q", log)
		}
		return nil
	})
}
