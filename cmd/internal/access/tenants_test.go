package access

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"resslt/batcher/broker"
	"resslt/batcher/runs"
	"resslt/batcher/stream"
	"resslt/batcher/worker"
	"resslt/schemas"
	"resslt/schemas/errs"
	"resslt/schemas/errs/errstest"
)

// attack is what a tenant does wrong, again and again, by the key of one of its roles. An error
// is the broker's refusal, which ends nothing.
type attack struct {
	name string
	role broker.Role
	do   func(c *client, i int) error
}

// same is the name of a run that both tenants have.
const same = "r"

var attacks = []attack{
	{"specs that no machine can hold", broker.RoleTrainer, func(c *client, i int) error {
		s := fmt.Sprintf(`{"spec":{"version":1,"batch_size":%d,"chunk_samples":%d},"digest":"%064d"}`, int64(1)<<(40+i%20), int64(1)<<40, i)
		return c.nc.Publish(schemas.SpecSubject(fmt.Sprint("evil-", i%50)), []byte(s))
	}},
	{"another spec and other options under the same name", broker.RoleTrainer, func(c *client, i int) error {
		if err := c.nc.Publish(schemas.SpecSubject(same), []byte(`{"spec":{},"digest":"x"}`)); err != nil {
			return err
		}
		return c.nc.Publish(schemas.OptionsSubject(same), []byte(`{"window":-1}`))
	}},
	{"leases of another trainer", broker.RoleTrainer, func(c *client, i int) error {
		return c.nc.Publish(schemas.TrainerSubject(same, "trainer"), []byte(`{"cursor":999999}`))
	}},
	{"tasks that are none", broker.RoleTrainer, func(c *client, i int) error {
		return c.nc.Publish(schemas.TaskSubject(same, int64(i), 0), bytes.Repeat([]byte{0xFF}, 1<<10))
	}},
	{"streams up to the quota", broker.RoleTrainer, func(c *client, i int) error {
		_, err := c.js.CreateStream(context.Background(), jetstream.StreamConfig{
			Name: schemas.BatchStream(fmt.Sprint("full-", i%200)), Subjects: []string{schemas.AllChunks(fmt.Sprint("full-", i%200))},
			Storage: jetstream.MemoryStorage, MaxBytes: 100 << 20,
		})
		return err
	}},
	{"streams with the other's subjects, purged and deleted", broker.RoleTrainer, func(c *client, i int) error {
		return errors.Join(
			c.nc.Publish("$JS.API.STREAM.PURGE."+schemas.BatchStream(same), []byte("{}")),
			c.nc.Publish("$JS.API.STREAM.DELETE."+schemas.CtrlStream(same), nil))
	}},
	{"heartbeats of a megabyte", broker.RoleWorker, func(c *client, i int) error {
		return c.nc.Publish(schemas.WorkerSubject(same, "big"), bytes.Repeat([]byte("x"), 1<<20))
	}},
	{"thousands of workers' names", broker.RoleWorker, func(c *client, i int) error {
		return c.nc.Publish(schemas.WorkerSubject(same, fmt.Sprint("worker-", i)), []byte(`{"worker":"`+strings.Repeat("w", 200)+`"}`))
	}},
	{"stop notices", broker.RoleWorker, func(c *client, _ int) error {
		return c.nc.Publish(schemas.StopSubject(same), []byte("determinism failure: of another tenant"))
	}},
	{"other bytes of the same chunks", broker.RoleWorker, func(c *client, i int) error {
		return c.nc.PublishMsg(&nats.Msg{Subject: schemas.ChunkSubject(same, int64(i%8), i%3), Data: []byte("x"), Header: nats.Header{
			schemas.HeaderSpec: {"x"}, schemas.HeaderTombstone: {"of another tenant"},
		}})
	}},
	{"requests for the other's tasks", broker.RoleWorker, func(c *client, _ int) error {
		return c.nc.PublishRequest("$JS.API.CONSUMER.MSG.NEXT."+schemas.TasksStream(same)+"."+schemas.WorkersConsumer, "_INBOX.worker.x", []byte(`{"batch":100}`))
	}},
	{"many requests at once", broker.RoleObserver, func(c *client, i int) error {
		// All tenants share the server's queue of requests, and it is dropped where it is too
		// long: no setting bounds one tenant's part, so this floods no more than it is answered.
		for range 20 {
			for _, subject := range []string{"$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.INFO." + schemas.CtrlStream(same), "$JS.API.STREAM.MSG.GET." + schemas.BatchStream(same)} {
				if err := c.nc.PublishRequest(subject, "_INBOX.observer.x", []byte(`{"last_by_subj":"x"}`)); err != nil {
					return err
				}
			}
		}
		_, err := c.js.AccountInfo(context.Background())
		return err
	}},
}

// attackers run every attack until they are stopped; each has been tried some times when it
// returns.
func attackers(t *testing.T, f *farm, by login, tenant string) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	counts := make([]atomic.Int64, len(attacks))
	for n, a := range attacks {
		c := f.connect(t, by, tenant, a.role)
		all.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				_ = a.do(c, i)
				if i%16 == 15 {
					_ = c.nc.FlushTimeout(5 * time.Second) // as fast as the broker takes it
				}
				counts[n].Add(1)
			}
		})
	}
	for n, a := range attacks {
		for start := time.Now(); counts[n].Load() < 16; time.Sleep(time.Millisecond) {
			if time.Since(start) > 30*time.Second {
				t.Fatalf("%s: tried %d times", a.name, counts[n].Load())
			}
		}
	}
	return func() { cancel(); all.Wait() }
}

// digest trains a run and gives the digest of its batches. Whatever worker or trainer report
// fails the test.
func digest(t *testing.T, trainer, workerClient *client) string {
	t.Helper()
	run, err := runs.Open(t.Context(), trainer.js, same, spec(), runs.Options{DataURI: "folder:/data"})
	if err != nil {
		t.Fatal(err)
	}
	_, stop := serving(t, workerClient, worker.Options{Name: "ours"})
	defer stop()
	s, err := stream.Open(t.Context(), run, inTurn{}, stream.Options{StallTimeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.New()
	for {
		b, err := s.Next(t.Context())
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(sum, b.Step, b.Samples)
		for _, p := range b.Pixels {
			sum.Write(p)
		}
		b.Release()
	}
	st := s.Stats()
	if st.Rejected+st.DigestMismatches+st.Tombstoned > 0 {
		t.Errorf("chunks that are not ours came: %+v", st)
	}
	beats, err := run.Workers(t.Context())
	if err != nil || len(beats) != 1 || beats[0].Worker != "ours" {
		t.Errorf("workers %+v, %v", beats, err)
	}
	if err := errors.Join(s.Close(), run.Stopped(t.Context())); err != nil {
		t.Error(err)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// TestTenants: one tenant does all the harm that its keys allow; the other's run gives the
// batches of a calm farm, and what it sees of the broker is its own.
func TestTenants(t *testing.T) {
	for _, tc := range []struct {
		by       login
		separate bool
	}{{byNKey, true}, {byCreds, false}} {
		t.Run(string(tc.by), func(t *testing.T) {
			f := launch(t, tc.by, tc.separate, KeyOptions{Quota: Quota{Memory: 1 << 30, Store: 256 << 20, Streams: 12}})
			trainer, workerClient, observer := f.connect(t, tc.by, speech, broker.RoleTrainer), f.connect(t, tc.by, speech, broker.RoleWorker), f.connect(t, tc.by, speech, broker.RoleObserver)
			calm := digest(t, trainer, workerClient)
			if err := runs.Delete(t.Context(), trainer.js, same); err != nil {
				t.Fatal(err)
			}
			// The tenant that attacks has a run of the same name, of other batches.
			theirs := f.connect(t, tc.by, vision, broker.RoleTrainer)
			other := spec()
			other.Seed++
			if _, err := runs.Open(t.Context(), theirs.js, same, other, runs.Options{}); err != nil {
				t.Fatal(err)
			}
			stop := attackers(t, f, tc.by, vision)
			defer stop()
			if got := digest(t, trainer, workerClient); got != calm {
				t.Errorf("the batches have digest %.12s, calm %.12s", got, calm)
			}
			list, err := runs.List(t.Context(), observer.js)
			if err != nil || len(list) != 1 || list[0].Name != same || list[0].Spec().Seed != spec().Seed {
				t.Errorf("it sees %d runs, %v", len(list), err)
			}
			a, err := observer.js.AccountInfo(t.Context())
			if err != nil || a.Streams > 4 || a.Memory > 16<<20 {
				t.Errorf("its account holds %+v, %v", a, err)
			}
			stop()
			a, err = theirs.js.AccountInfo(t.Context())
			if err != nil || a.Streams < 10 {
				t.Errorf("the attack did not fill its quota: %+v, %v", a, err)
			}
			if no := append(append(trainer.refusals(), workerClient.refusals()...), observer.refusals()...); len(no) > 0 {
				t.Errorf("refused: %q", no)
			}
		})
	}
}

// One tenant cannot take all connections: its own are bounded, for workers, observers and all
// others each.
func TestTenantsConnections(t *testing.T) {
	for _, tc := range []struct {
		by       login
		separate bool
	}{{byNKey, true}, {byCreds, false}} {
		t.Run(string(tc.by), func(t *testing.T) {
			const most = 5
			f := launch(t, tc.by, tc.separate, KeyOptions{Quota: Quota{Connections: most}})
			for _, role := range []broker.Role{broker.RoleWorker, broker.RoleObserver, broker.RoleTrainer} {
				for range most {
					f.connect(t, tc.by, vision, role)
				}
				o := f.options(tc.by, vision, role)
				o.Patience = time.Millisecond
				_, _, err := broker.Connect(t.Context(), o)
				errstest.Want(t, err, errs.ErrUnavailable, "maximum account active connections exceeded", "--max-connections")
				f.connect(t, tc.by, speech, role)
			}
		})
	}
}
