package batcher

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
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

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"resslt/schemas"
)

// testSpec is a small run: batches of 10 in chunks of 4, 4 and 2, two views.
func testSpec() schemas.RunSpec {
	return schemas.RunSpec{
		Version: schemas.SpecVersion,
		Dataset: schemas.DatasetSpec{Digest: "d0", Format: "folder", Split: "train", Samples: 47},
		Order:   "global", Policy: "{}", Engine: "hash/1", Seed: 1,
		BatchSize: 10, Epochs: 3, StepsPerEpoch: 4, ChunkSamples: 4, OnError: schemas.Replace,
		Views: []schemas.ViewSpec{{Name: "weak", Role: schemas.Teacher, Size: 8}, {Name: "strong", Role: schemas.Student, Size: 6}},
	}
}

// strideOrder is a permutation of n samples that differs from epoch to epoch.
type strideOrder struct{ n int64 }

func (o strideOrder) At(epoch, index int64) int64 { return (index*5 + epoch*11 + 3) % o.n }

// hashMaker derives pixels and plans from epoch, sample and view, so that content
// can be checked from end to end without an image.
type hashMaker struct {
	spec *schemas.RunSpec
	src  *hashSource
}

func pixelByte(epoch, sample int64, view int) byte {
	var b [24]byte
	binary.LittleEndian.PutUint64(b[:], uint64(epoch))
	binary.LittleEndian.PutUint64(b[8:], uint64(sample))
	b[16] = byte(view)
	return sha256.New().Sum(b[:])[0] ^ byte(epoch*31+sample*7+int64(view)*13)
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

func (s *hashSource) opener(_ context.Context, rec *schemas.RunRecord) (Source, error) {
	s.spec = rec.Spec
	s.open.Add(1)
	return s, nil
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

// farm is a worker that runs until stop, or the end of the test.
type farm struct {
	*Worker
	stop func() error
}

func startWorker(t *testing.T, js jetstream.JetStream, src *hashSource, o WorkerOptions, run string) *farm {
	t.Helper()
	if o.Open == nil {
		o.Open = src.opener
	}
	if o.Grace == 0 {
		o.Grace = time.Second
	}
	o.Discover = 50 * time.Millisecond
	o.Heartbeat = 100 * time.Millisecond
	w, err := NewWorker(js, o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		if run == "" {
			done <- w.Serve(ctx)
		} else {
			done <- w.ServeRun(ctx, run)
		}
	}()
	f := &farm{Worker: w}
	f.stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() { f.stop() })
	return f
}

func openRun(t *testing.T, js jetstream.JetStream, spec schemas.RunSpec, o RunOptions) *Run {
	t.Helper()
	run, err := OpenRun(t.Context(), js, "r", spec, o)
	if err != nil {
		t.Fatal(err)
	}
	return run
}

func openStream(t *testing.T, run *Run, o StreamOptions) *Stream {
	t.Helper()
	if o.RepairAfter == 0 {
		o.RepairAfter = 300 * time.Millisecond
	}
	if o.StallTimeout == 0 {
		o.StallTimeout = 20 * time.Second
	}
	s, err := OpenStream(t.Context(), run, strideOrder{run.Spec().Dataset.Samples}, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// testDriver is a driver at step 0 whose lease is not taken.
func testDriver(run *Run, o StreamOptions) *driver {
	o.Trainer = "t"
	l := newLease(run, position{trainer: o.Trainer, window: o.Window}, DefaultLeaseTerm)
	return newDriver(run, strideOrder{run.Spec().Dataset.Samples}, o, l, &streamCounters{})
}

// take reads steps until `to`, and returns their digests.
func take(t *testing.T, s *Stream, to int64) []string {
	t.Helper()
	var out []string
	for s.Stats().Next < to {
		b, err := s.Next(t.Context())
		if err != nil {
			t.Fatalf("step %d: %v", s.Stats().Next, err)
		}
		out = append(out, batchDigest(b))
		b.Release()
	}
	return out
}

func equal(t *testing.T, got, want []string) {
	t.Helper()
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Fatalf("batches differ:\n%s\nwant\n%s", g, w)
	}
}

func wantErr(t *testing.T, err, kind error, texts ...string) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Fatalf("error %v, want %v", err, kind)
	}
	for _, s := range texts {
		if !strings.Contains(err.Error(), s) {
			t.Fatalf("error %q does not say %q", err, s)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Fatalf("error of several lines: %q", err)
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

func atEnd(t *testing.T, s *Stream) {
	t.Helper()
	if _, err := s.Next(t.Context()); err != io.EOF {
		t.Fatalf("after the last step: %v", err)
	}
}

// wire is a TCP connection to a broker that a test can cut.
type wire struct {
	addr string

	mu    sync.Mutex
	open  bool       // guarded by mu
	conns []net.Conn // guarded by mu
}

func newWire(t *testing.T, to string) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{addr: l.Addr().String(), open: true}
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

func (w *wire) add(conns ...net.Conn) bool {
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

func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open = false
	for _, c := range w.conns {
		c.Close()
	}
	w.conns = nil
}

func (w *wire) mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open = true
}
