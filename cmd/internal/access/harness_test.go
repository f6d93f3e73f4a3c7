package access

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"resslt/schemas/freeport"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"resslt/batcher/broker"
	"resslt/batcher/produce"
	"resslt/batcher/wire"
	"resslt/batcher/worker"
	"resslt/schemas"
)

// tenants of the test's broker.
const vision, speech = "vision", "speech"

// farm is a broker under deploy/nats/farm.conf with freshly made keys.
type farm struct {
	dir, url string
	restart  func() // of a separate broker: killed, and started again on its store
}

// serving has a worker of the client serve runs whose samples are counted (counting), with short
// waits. stop ends it; whatever it reports fails the test.
func serving(t *testing.T, c *client, o worker.Options) (w *worker.Worker, stop func()) {
	t.Helper()
	o.Workers, o.Grace, o.Heartbeat, o.Discover = 2, time.Second, 50*time.Millisecond, 50*time.Millisecond
	o.Open = func(context.Context, *schemas.RunInfo) (produce.Source, error) { return counting{}, nil }
	o.Report = func(err error) { t.Error("worker:", err) }
	w, err := worker.New(c.js, o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- w.Serve(ctx) }()
	return w, func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}
}

// login is a way to say who one is.
type login string

const (
	byNKey  login = "nkey"
	byCreds login = "creds"
)

// launch starts a broker with deploy's own files: Debian's nats-server where
// separate, the version that go.mod pins otherwise.
func launch(t *testing.T, by login, separate bool, o KeyOptions) *farm {
	t.Helper()
	f := &farm{dir: t.TempDir()}
	for _, name := range []string{"farm.conf", "limits.conf"} {
		raw, err := os.ReadFile(filepath.Join("../../../deploy/nats", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(f.dir, name), raw, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	o.Dir, o.Tenants = filepath.Join(f.dir, "keys"), []string{vision, speech}
	if err := Keys(o); err != nil {
		t.Fatal(err)
	}
	addr, err := freeport.Addr()
	if err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(f.dir, "farm.conf")
	edit(t, conf,
		`"0.0.0.0:4222"`, strconv.Quote(addr),
		"http: \"127.0.0.1:8222\"", "",
		"/var/lib/nats", filepath.Join(f.dir, "js"))
	if by == byCreds {
		edit(t, conf, "keys/accounts.conf", "keys/operator.conf")
	}
	f.url = "tls://" + addr
	if separate {
		bin, err := exec.LookPath("nats-server")
		if err != nil {
			t.Skip("nats-server is not on PATH: apt-get install nats-server")
		}
		log := &logged{}
		start := func() *exec.Cmd {
			cmd := exec.Command(bin, "-c", conf)
			cmd.Stderr = log
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			return cmd
		}
		cmd := start()
		kill := func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
		f.restart = func() { kill(); cmd = start() }
		t.Cleanup(func() {
			kill()
			if t.Failed() {
				t.Log(log.String())
			}
		})
	} else {
		opts, err := server.ProcessConfigFile(conf)
		if err != nil {
			t.Fatal(err)
		}
		opts.NoSigs, opts.NoLog = true, true
		s, err := server.NewServer(opts)
		if err != nil {
			t.Fatal(err)
		}
		s.Start()
		t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	}
	for range 500 {
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			return f
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("the broker does not come up")
	return nil
}

// logged is a broker's log, shown where a test fails.
type logged struct {
	mu sync.Mutex
	strings.Builder
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Builder.Write(p)
}

func edit(t *testing.T, file string, oldNew ...string) {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(oldNew); i += 2 {
		if !strings.Contains(string(raw), oldNew[i]) {
			t.Fatalf("%s does not say %q", file, oldNew[i])
		}
	}
	if err := os.WriteFile(file, []byte(strings.NewReplacer(oldNew...).Replace(string(raw))), 0o644); err != nil {
		t.Fatal(err)
	}
}

// options are those of a role of a tenant.
func (f *farm) options(by login, tenant string, role broker.Role) broker.ConnectOptions {
	o := broker.ConnectOptions{URL: f.url, CA: filepath.Join(f.dir, "keys", "ca.pem"), Role: role, Name: string(role)}
	file := filepath.Join(f.dir, "keys", tenant, string(role))
	if by == byNKey {
		o.NKey = file + ".nk"
	} else {
		o.Creds = file + ".creds"
	}
	return o
}

// client is a connection that remembers what it was refused.
type client struct {
	nc *nats.Conn
	js jetstream.JetStream

	mu     sync.Mutex
	denied []string
}

func (c *client) refusals() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.denied...)
}

func (f *farm) connect(t *testing.T, by login, tenant string, role broker.Role) *client {
	t.Helper()
	c := &client{}
	o := f.options(by, tenant, role)
	o.Denied = func(err error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.denied = append(c.denied, err.Error())
	}
	var err error
	if c.nc, c.js, err = broker.Connect(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.nc.Close)
	return c
}

// spec is a run of two epochs of four steps, three chunks each.
func spec() schemas.RunSpec {
	return schemas.RunSpec{
		Version: schemas.SpecVersion,
		Dataset: schemas.DatasetSpec{Digest: "d0", Format: "folder", Split: "train", Samples: 47},
		Order:   "global", Policy: "{}", Engine: "counting/1", Seed: 1,
		BatchSize: 10, Epochs: 2, StepsPerEpoch: 4, ChunkSamples: 4, OnError: schemas.Replace,
		Views: []schemas.ViewSpec{{Name: "weak", Role: schemas.Teacher, Size: 8}, {Name: "strong", Role: schemas.Student, Size: 6}},
	}
}

// counting is a Source whose pixels are the sample's number.
type counting struct{}

func (counting) Order() wire.Order                { return inTurn{} }
func (counting) NewMaker() (produce.Maker, error) { return counting{}, nil }
func (counting) Close() error                     { return nil }
func (counting) Make(_ context.Context, row wire.TaskRow, dst, plans [][]byte) (produce.Made, error) {
	for v := range dst {
		for i := range dst[v] {
			dst[v][i] = byte(row.Sample)
		}
		plans[v] = fmt.Appendf(plans[v][:0], "%d/%d", row.Sample, v)
	}
	return produce.Made{Label: int32(row.Sample)}, nil
}

// inTurn is the order of the samples' numbers, turned by the epoch.
type inTurn struct{}

func (inTurn) At(epoch, index int64) int64 { return (index + epoch) % 47 }
