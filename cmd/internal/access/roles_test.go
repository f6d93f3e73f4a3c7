package access

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"

	"resslt/batcher/broker"
	"resslt/batcher/produce"
	"resslt/batcher/runs"
	"resslt/batcher/stream"
	"resslt/batcher/worker"
	"resslt/schemas"
	"resslt/schemas/errs"
	"resslt/schemas/errs/errstest"
)

// TestRoles lets trainer, worker and observer do all of their work under deploy's
// configuration, each with its own role's credentials, and sees that the broker
// refuses none of it; then each tries what is not its own.
func TestRoles(t *testing.T) {
	for _, by := range []login{byNKey, byCreds} {
		for _, separate := range []bool{true, false} {
			name := string(by) + "/pinned"
			if separate {
				name = string(by) + "/nats-server"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				f := launch(t, by, separate, KeyOptions{})
				trainer, worker, observer := f.connect(t, by, vision, broker.RoleTrainer), f.connect(t, by, vision, broker.RoleWorker), f.connect(t, by, vision, broker.RoleObserver)
				train(t, trainer, worker)
				// It sleeps: opened again, for an observer to see.
				if _, err := runs.Open(t.Context(), trainer.js, "r", spec(), runs.Options{DataURI: "folder:/data"}); err != nil {
					t.Fatal(err)
				}
				for _, name := range []string{"one", "another"} {
					if _, err := worker.js.Publish(t.Context(), schemas.WorkerSubject("r", name), []byte(`{"worker":"`+name+`"}`)); err != nil {
						t.Fatal(err)
					}
				}
				watch(t, observer, !separate)
				for role, c := range map[broker.Role]*client{broker.RoleTrainer: trainer, broker.RoleWorker: worker, broker.RoleObserver: observer} {
					if no := c.refusals(); len(no) > 0 {
						t.Fatalf("the %s was refused its own work: %q", role, no)
					}
				}
				refuse(t, trainer, broker.RoleTrainer)
				refuse(t, worker, broker.RoleWorker)
				refuse(t, observer, broker.RoleObserver)

				// The other tenant sees nothing of it, and can use the same names.
				other := f.connect(t, by, speech, broker.RoleTrainer)
				if runs, err := runs.List(t.Context(), other.js); err != nil || len(runs) != 0 {
					t.Fatalf("the other tenant sees %d runs, %v", len(runs), err)
				}
				train(t, other, f.connect(t, by, speech, broker.RoleWorker))

				if err := runs.Delete(t.Context(), trainer.js, "r"); err != nil {
					t.Fatal(err)
				}
			})
		}
	}
}

// train takes a whole run from its opening to its end.
func train(t *testing.T, trainer, workerClient *client) {
	t.Helper()
	run, err := runs.Open(t.Context(), trainer.js, "r", spec(), runs.Options{DataURI: "folder:/data"})
	if err != nil {
		t.Fatal(err)
	}
	w, stop := serving(t, workerClient, worker.Options{Lull: 50 * time.Millisecond})
	defer stop()
	s, err := stream.Open(t.Context(), run, inTurn{}, stream.Options{StallTimeout: 20 * time.Second, RepairAfter: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	var samples int
	for {
		b, err := s.Next(t.Context())
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		for i, id := range b.Samples {
			if b.Pixels[0][i*3*8*8] != byte(id) {
				t.Fatalf("step %d has other pixels than sample %d", b.Step, id)
			}
		}
		samples += len(b.Samples)
		b.Release()
	}
	if beats, err := run.Workers(t.Context()); err != nil || len(beats) != 1 {
		t.Fatalf("%d workers are heard of, %v", len(beats), err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if samples != 2*4*10 {
		t.Fatalf("%d samples came", samples)
	}
	if o, err := runs.OverviewOf(t.Context(), trainer.js, "r", runs.Brief); err != nil || o.State() != runs.StateEnded || len(o.Kept) != 1 {
		t.Fatalf("after its end: %+v, %v", o, err)
	}
	// The run sleeps until it has a trainer again.
	await := func(phase string) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); !slices.ContainsFunc(w.States(), func(s worker.State) bool { return s.Phase == phase }); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("the run is not %s: %+v", phase, w.States())
			}
		}
	}
	await("asleep")
	if s, err = stream.Open(t.Context(), run, inTurn{}, stream.Options{}); err != nil {
		t.Fatal(err)
	}
	await("serving")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestGuestsReconnect: a broker that is killed in the middle costs guests time alone,
// who reach their tenant by imports that the broker sets up again.
func TestGuestsReconnect(t *testing.T) {
	for _, by := range []login{byNKey, byCreds} {
		t.Run(string(by), func(t *testing.T) {
			t.Parallel()
			f := launch(t, by, true, KeyOptions{})
			trainer, workerClient := f.connect(t, by, vision, broker.RoleTrainer), f.connect(t, by, vision, broker.RoleWorker)
			run, err := runs.Open(t.Context(), trainer.js, "r", spec(), runs.Options{Window: 2})
			if err != nil {
				t.Fatal(err)
			}
			w, err := worker.New(workerClient.js, worker.Options{
				Workers: 2, Grace: time.Second,
				Open: func(context.Context, *schemas.RunInfo) (produce.Source, error) { return counting{}, nil },
			})
			if err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(t.Context())
			served := make(chan error, 1)
			go func() { served <- w.Serve(ctx) }()
			defer func() {
				stop()
				if err := <-served; err != nil {
					t.Error(err)
				}
			}()
			s, err := stream.Open(t.Context(), run, inTurn{}, stream.Options{StallTimeout: 30 * time.Second, Prefetch: 1})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			for step := range run.Spec().Steps() {
				if step == 3 {
					f.restart()
				}
				b, err := s.Next(t.Context())
				if err != nil {
					t.Fatalf("step %d: %v", step, err)
				}
				b.Release()
			}
			if no := append(trainer.refusals(), workerClient.refusals()...); len(no) > 0 {
				t.Errorf("refused: %q", no)
			}
		})
	}
}

// watch reads what an observer shows.
func watch(t *testing.T, c *client, oneAnswer bool) {
	t.Helper()
	found, err := runs.List(t.Context(), c.js)
	if err != nil || len(found) != 1 {
		t.Fatalf("%d runs, %v", len(found), err)
	}
	for _, detail := range []runs.Detail{runs.Brief, runs.Full} {
		all, err := runs.Overviews(t.Context(), c.js, detail)
		if err != nil || len(all) != 1 || all[0].Err != nil || all[0].Run == nil || len(all[0].Trainers) != 1 {
			t.Fatalf("%+v, %v", all, err)
		}
	}
	if _, err := found[0].Cursor(t.Context(), "trainer"); err != nil {
		t.Fatal(err)
	}
	sent := c.nc.Stats().OutMsgs
	if beats, err := found[0].Workers(t.Context()); err != nil || len(beats) < 2 {
		t.Fatalf("%d heartbeats, %v", len(beats), err)
	}
	if sent = c.nc.Stats().OutMsgs - sent; oneAnswer && sent != 1 {
		t.Errorf("%d requests for the heartbeats", sent)
	}
}

// forbidden is what a role may not publish: each message would do harm.
var forbidden = map[broker.Role][]string{
	broker.RoleWorker: {
		schemas.TaskSubject("r", 0, 0), schemas.SpecSubject("r"), schemas.OptionsSubject("r"), schemas.TrainerSubject("r", "trainer"),
		"$JS.API.STREAM.CREATE.BATCH_x", "$JS.API.STREAM.UPDATE.BATCH_r", "$JS.API.STREAM.DELETE.BATCH_r", "$JS.API.STREAM.PURGE.BATCH_r", "$JS.API.STREAM.MSG.DELETE.BATCH_r",
		"$JS.API.CONSUMER.CREATE.BATCH_r", "$JS.API.CONSUMER.DURABLE.CREATE.TASKS_r.mine", "$JS.API.CONSUMER.DELETE.TASKS_r.workers", "$JS.API.CONSUMER.MSG.NEXT.BATCH_r.theirs",
		"$SYS.REQ.SERVER.PING", "anything",
	},
	broker.RoleTrainer: {
		schemas.ChunkSubject("r", 0, 0), schemas.WorkerSubject("r", "w"), schemas.StopSubject("r"),
		"$JS.API.CONSUMER.MSG.NEXT.TASKS_r.workers", "$JS.ACK.TASKS_r.workers.1.1.1.1.0", "anything",
	},
	broker.RoleObserver: {
		schemas.TaskSubject("r", 0, 0), schemas.ChunkSubject("r", 0, 0), schemas.SpecSubject("r"), schemas.WorkerSubject("r", "w"), schemas.StopSubject("r"), schemas.TrainerSubject("r", "trainer"),
		"$JS.API.STREAM.CREATE.x", "$JS.API.STREAM.DELETE.BATCH_r", "$JS.API.STREAM.PURGE.BATCH_r", "$JS.API.STREAM.MSG.DELETE.BATCH_r",
		"$JS.API.CONSUMER.CREATE.BATCH_r", "$JS.API.CONSUMER.MSG.NEXT.TASKS_r.workers", "$JS.ACK.TASKS_r.workers.1.1.1.1.0", "anything",
	},
}

// refuse tries everything that is forbidden, and sees that each is refused by name.
func refuse(t *testing.T, c *client, role broker.Role) {
	t.Helper()
	refuseAll(t, c, role, forbidden[role])
}

func refuseAll(t *testing.T, c *client, role broker.Role, subjects []string) {
	t.Helper()
	before := len(c.refusals())
	for _, subject := range subjects {
		if err := c.nc.Publish(subject, []byte("{}")); err != nil {
			t.Fatal(err)
		}
	}
	others := []string{"_INBOX.>", "b.r.>", ">"}
	for _, r := range broker.Roles() {
		if r != role && r != broker.RoleOwner {
			others = append(others, "_INBOX."+string(r)+".>")
		}
	}
	for _, subject := range others {
		if _, err := c.nc.SubscribeSync(subject); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.nc.Flush(); err != nil {
		t.Fatal(err)
	}
	want := append(append([]string(nil), subjects...), others...)
	for deadline := time.Now().Add(5 * time.Second); len(c.refusals())-before < len(want) && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
	}
	got := strings.Join(c.refusals()[before:], "\n")
	for _, subject := range want {
		if !strings.Contains(got, `"`+subject+`"`) {
			t.Errorf("the %s may use %q", role, subject)
		}
	}
}

// TestDenied: what is not allowed ends in one line that names the permission.
func TestDenied(t *testing.T) {
	t.Parallel()
	f := launch(t, byNKey, false, KeyOptions{})
	trainer := f.connect(t, byNKey, vision, broker.RoleTrainer)
	run, err := runs.Open(t.Context(), trainer.js, "r", spec(), runs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	short := func() context.Context {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		t.Cleanup(cancel)
		return ctx
	}
	t.Run("a worker opens a run", func(t *testing.T) {
		c := f.connect(t, byNKey, vision, broker.RoleWorker)
		_, err := runs.Open(short(), c.js, "mine", spec(), runs.Options{})
		errstest.Want(t, err, errs.ErrDenied, `Publish to "$JS.API.STREAM.CREATE.CTRL_mine"`, "role")
	})
	t.Run("an observer deletes a run", func(t *testing.T) {
		c := f.connect(t, byNKey, vision, broker.RoleObserver)
		errstest.Want(t, runs.Delete(short(), c.js, "r"), errs.ErrDenied, `Publish to "$JS.API.STREAM.DELETE.TASKS_r"`)
	})
	t.Run("a trainer connects under another role's inbox", func(t *testing.T) {
		o := f.options(byNKey, vision, broker.RoleTrainer)
		o.Role = broker.RoleWorker
		o.Timeout = time.Second
		_, _, err := broker.Connect(t.Context(), o)
		errstest.Want(t, err, errs.ErrDenied, `Subscription to "_INBOX.worker.`)
	})
	t.Run("a stranger", func(t *testing.T) {
		o := f.options(byNKey, vision, broker.RoleWorker)
		o.NKey = ""
		_, _, err := broker.Connect(t.Context(), o)
		errstest.Want(t, err, errs.ErrDenied, "--creds, --nkey or --token")
		if other := t.TempDir(); Keys(KeyOptions{Dir: other, Tenants: []string{vision}}) != nil {
			t.Fatal("no keys")
		} else {
			o.NKey = filepath.Join(other, vision, "worker.nk")
		}
		_, _, err = broker.Connect(t.Context(), o)
		errstest.Want(t, err, errs.ErrDenied, "--creds, --nkey or --token")
	})
	t.Run("quota", func(t *testing.T) {
		_, err := runs.Open(t.Context(), trainer.js, "large", spec(), runs.Options{Storage: runs.StorageFile, MaxBytes: 200 << 30})
		errstest.Want(t, err, errs.ErrUnavailable, "store")
	})
	if err := run.Ensure(t.Context()); err != nil {
		t.Fatalf("the run does not stand any more: %v", err)
	}
}

// A guest's user is no user of the tenant's own account, whoever signed it into that: the
// .creds files of builds before there were guests are refused, those of today are not.
func TestGuestsOfOldAreRefused(t *testing.T) {
	for _, separate := range []bool{true, false} {
		t.Run(fmt.Sprintf("separate=%v", separate), func(t *testing.T) {
			t.Parallel()
			f := launch(t, byCreds, separate, KeyOptions{})
			keys := KeyOptions{Dir: filepath.Join(f.dir, "keys")}
			a, err := keys.account(vision, broker.Roles())
			if err != nil {
				t.Fatal(err)
			}
			for r, user := range a.users {
				public, err := user.PublicKey()
				if err != nil {
					t.Fatal(err)
				}
				o := f.options(byCreds, vision, r)
				o.Creds, o.Timeout = filepath.Join(t.TempDir(), "old.creds"), 5*time.Second
				if err := keys.writeCreds(o.Creds, jwt.NewUserClaims(public), user, a.key); err != nil {
					t.Fatal(err)
				}
				nc, _, err := broker.Connect(t.Context(), o)
				if !r.Guest() {
					if err != nil {
						t.Fatalf("%s: %v", r, err)
					}
					nc.Close()
					continue
				}
				errstest.Want(t, err, errs.ErrDenied)
				f.connect(t, byCreds, vision, r)
			}
		})
	}
}

// TestStreamQuota: an account's number of streams is bounded.
func TestStreamQuota(t *testing.T) {
	t.Parallel()
	f := launch(t, byCreds, false, KeyOptions{Quota: Quota{Streams: 5}})
	c := f.connect(t, byCreds, vision, broker.RoleTrainer)
	if _, err := runs.Open(t.Context(), c.js, "one", spec(), runs.Options{}); err != nil {
		t.Fatal(err)
	}
	_, err := runs.Open(t.Context(), c.js, "two", spec(), runs.Options{})
	errstest.Want(t, err, errs.ErrUnavailable, "maximum number of streams reached")
}

// TestTLS: who cannot show and be shown a certificate is told which file is missing.
func TestTLS(t *testing.T) {
	t.Parallel()
	f := launch(t, byNKey, true, KeyOptions{Mutual: true})
	good := f.options(byNKey, vision, broker.RoleWorker)
	good.Cert, good.Key = filepath.Join(f.dir, "keys", vision, "worker.pem"), filepath.Join(f.dir, "keys", vision, "worker.key")
	other := t.TempDir()
	if err := Keys(KeyOptions{Dir: other, Tenants: []string{vision}}); err != nil {
		t.Fatal(err)
	}
	garbage := filepath.Join(other, "garbage")
	if err := os.WriteFile(garbage, []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		change func(o *broker.ConnectOptions)
		kind   error
		says   string
	}{
		{"good", func(*broker.ConnectOptions) {}, nil, ""},
		{"nats:// is made tls by the broker", func(o *broker.ConnectOptions) { o.URL = strings.Replace(o.URL, "tls", "nats", 1) }, nil, ""},
		{"no authority", func(o *broker.ConnectOptions) { o.CA = "" }, errs.ErrUnavailable, "--tls-ca"},
		{"another authority", func(o *broker.ConnectOptions) { o.CA = filepath.Join(other, "ca.pem") }, errs.ErrUnavailable, "--tls-ca"},
		{"no certificate", func(o *broker.ConnectOptions) { o.Cert, o.Key = "", "" }, errs.ErrDenied, "--tls-cert"},
		{"another's certificate", func(o *broker.ConnectOptions) {
			o.Cert, o.Key = filepath.Join(other, vision, "worker.pem"), filepath.Join(other, vision, "worker.key")
		}, errs.ErrDenied, "--tls-cert"},
		{"half a pair", func(o *broker.ConnectOptions) { o.Key = "" }, errs.ErrUsage, "--tls-key"},
		{"a missing file", func(o *broker.ConnectOptions) { o.CA += "x" }, errs.ErrNotFound, "ca.pemx"},
		{"garbage for an authority", func(o *broker.ConnectOptions) { o.CA = garbage }, errs.ErrCorrupt, garbage},
		{"garbage for a seed", func(o *broker.ConnectOptions) { o.NKey = garbage }, errs.ErrCorrupt, garbage},
		{"two logins", func(o *broker.ConnectOptions) { o.Token = "t" }, errs.ErrUsage, "one of --creds, --nkey and --token"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := good
			c.change(&o)
			nc, _, err := broker.Connect(t.Context(), o)
			if c.kind == nil {
				if err != nil {
					t.Fatal(err)
				}
				if _, err := nc.TLSConnectionState(); err != nil {
					t.Fatal("not encrypted:", err)
				}
				nc.Close()
				return
			}
			errstest.Want(t, err, c.kind, c.says)
		})
	}
}

// TestRolesConf: the file in deploy is what the roles are.
func TestRolesConf(t *testing.T) {
	raw, err := os.ReadFile("../../../deploy/nats/roles.conf")
	if err != nil {
		t.Fatal(err)
	}
	if string(raw) != RolesConf() {
		t.Fatal("deploy/nats/roles.conf is not of this build: resslt keys --roles > deploy/nats/roles.conf")
	}
}
