package batcher

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"resslt/schemas"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// hashMaker derives pixels and plans from epoch, sample and view, so that content
// can be checked from end to end without an image.
type hashMaker struct {
	spec *schemas.RunSpec
	src  *hashSource
}

func (m *hashMaker) Make(ctx context.Context, row TaskRow, dst, plans [][]byte) (Made, error) {
	if err := ctx.Err(); err != nil {
		return Made{}, err
	}
	if f := m.src.before; f != nil {
		if err := f(ctx, row); err != nil {
			return Made{}, err
		}
	}
	for v := range dst {
		p := pixelByte(row.Epoch, row.Sample, v) + m.src.salt
		for i := range dst[v] {
			dst[v][i] = p + byte(i)
		}
		plans[v] = fmt.Appendf(plans[v][:0], "plan %d/%d/%d", row.Epoch, row.Sample, v)
	}
	return Made{Label: int32(row.Sample % 10)}, nil
}

func (m *hashMaker) Close() error { m.src.open.Add(-1); return nil }

// hashSource makes hashMakers; before is called ahead of every sample.
type hashSource struct {
	spec   schemas.RunSpec
	before func(context.Context, TaskRow) error
	salt   byte
	open   atomic.Int64 // makers and sources that are open
}

func (s *hashSource) Order() Order { return strideOrder{s.spec.Dataset.Samples} }
func (s *hashSource) NewMaker() (Maker, error) {
	s.open.Add(1)
	return &hashMaker{spec: &s.spec, src: s}, nil
}
func (s *hashSource) Close() error { s.open.Add(-1); return nil }

func (s *hashSource) opener(_ context.Context, rec *schemas.RunInfo) (Source, error) {
	s.spec = rec.Spec
	s.open.Add(1)
	return s, nil
}

// testBroker is a broker that a test can stop and start again.
type testBroker struct {
	name  string
	dir   string
	addr  string // of TCP brokers
	start func(t *testing.T, b *testBroker)
	stop  func()
	in    *Broker // embedded
}

func (b *testBroker) connect(t *testing.T) (*nats.Conn, jetstream.JetStream) {
	t.Helper()
	o := ConnectOptions{Name: t.Name()}
	if b.addr == "" {
		o.Broker = b.in
	} else {
		o.URL = "nats://" + b.addr
	}
	if b.in != nil {
		o.Token = b.in.Token()
	}
	nc, js, err := Connect(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc, js
}

func embedded(listen bool) *testBroker {
	b := &testBroker{name: "in-process"}
	if listen {
		b.name = "tcp"
	}
	b.start = func(t *testing.T, b *testBroker) {
		o := BrokerOptions{StoreDir: b.dir}
		if listen {
			if b.addr == "" {
				b.addr = freeAddr(t)
			}
			o.Listen, o.Token = b.addr, "of-the-test"
		}
		var err error
		if b.in, err = StartBroker(o); err != nil {
			t.Fatal(err)
		}
		b.stop = func() { b.in.Close() }
	}
	return b
}

// separate is Debian's nats-server, another process.
func separate() *testBroker {
	b := &testBroker{name: "nats-server"}
	b.start = func(t *testing.T, b *testBroker) {
		bin, err := exec.LookPath("nats-server")
		if err != nil {
			t.Skip("nats-server is not on PATH: apt-get install nats-server")
		}
		if b.addr == "" {
			b.addr = freeAddr(t)
		}
		_, port, _ := net.SplitHostPort(b.addr)
		conf := filepath.Join(b.dir, "nats.conf")
		text := fmt.Sprintf("host: 127.0.0.1\nport: %s\nmax_payload: 8MB\njetstream { store_dir: %q }\n", port, filepath.Join(b.dir, "js"))
		if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(bin, "-c", conf)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for range 200 {
			if c, err := net.Dial("tcp", b.addr); err == nil {
				c.Close()
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		b.stop = func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }
	}
	return b
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// launch starts a broker for the test.
func launch(t *testing.T, b *testBroker) *testBroker {
	t.Helper()
	b.dir = t.TempDir()
	b.start(t, b)
	t.Cleanup(func() { b.stop() })
	return b
}

// eachBroker runs f against every kind of broker.
func eachBroker(t *testing.T, f func(t *testing.T, b *testBroker)) {
	for _, b := range []*testBroker{embedded(false), embedded(true), separate()} {
		t.Run(b.name, func(t *testing.T) { f(t, launch(t, b)) })
	}
}

// checkLeaks fails the test if f leaves goroutines behind.
func checkLeaks(t *testing.T, f func()) {
	t.Helper()
	before := runtime.NumGoroutine()
	f()
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if runtime.NumGoroutine() <= before {
			return
		}
		if time.Now().After(deadline) {
			buf := make([]byte, 1<<16)
			t.Fatalf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, buf[:runtime.Stack(buf, true)])
		}
	}
}

// cable is a TCP connection to a broker that a test can cut.
type cable struct {
	addr string

	mu    sync.Mutex
	open  bool       // guarded by mu
	conns []net.Conn // guarded by mu
}

func newCable(t *testing.T, to string) *cable {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &cable{addr: l.Addr().String(), open: true}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", to)
			if err != nil || !w.add(near, far) {
				near.Close()
				continue
			}
			wg.Go(func() { _, _ = io.Copy(far, near); far.Close() }) // both end when one does
			wg.Go(func() { _, _ = io.Copy(near, far); near.Close() })
		}
	})
	t.Cleanup(func() {
		l.Close()
		w.cut()
		wg.Wait()
	})
	return w
}

func (w *cable) add(conns ...net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.open {
		for _, c := range conns {
			c.Close()
		}
		return false
	}
	w.conns = append(w.conns, conns...)
	return true
}

func (w *cable) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open = false
	for _, c := range w.conns {
		c.Close()
	}
	w.conns = nil
}

func (w *cable) plug() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open = true
}

// want is the digest of the batches of steps [from, to), made without a broker.
func want(t *testing.T, spec schemas.RunSpec, src *hashSource, from, to int64) []string {
	t.Helper()
	plain := &hashSource{spec: spec, before: src.before}
	batches, err := MakeBatches(t.Context(), &spec, plain.Order(), &hashMaker{&spec, plain}, from, int(to-from))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, b := range batches {
		out = append(out, batchDigest(b))
	}
	return out
}

func batchDigest(b *schemas.Batch) string {
	h := sha256.New()
	fmt.Fprintln(h, b.Step, b.Epoch, b.Size, b.Samples, b.Labels, b.Replaced, b.Reasons)
	for _, p := range b.Pixels {
		h.Write(p)
	}
	return fmt.Sprintf("%d:%x", b.Step, h.Sum(nil)[:8])
}

func equal(t *testing.T, got, want []string) {
	t.Helper()
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Fatalf("batches differ:\n%s\nwant\n%s", g, w)
	}
}

// madeBy is a chunk as a worker makes it.
func madeBy(t testing.TB, spec *schemas.RunSpec, step int64, index int) *Chunk {
	t.Helper()
	src := &hashSource{spec: *spec}
	c := NewChunk(spec)
	if err := fillChunk(t.Context(), spec, src.Order(), &hashMaker{spec, src}, NewTask(spec, src.Order(), step, index), c); err != nil {
		t.Fatal(err)
	}
	return c
}
