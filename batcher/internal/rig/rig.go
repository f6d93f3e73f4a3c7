package rig

import (
	"context"
	"crypto/sha256"
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

	"resslt/batcher/assemble"
	"resslt/batcher/broker"
	"resslt/batcher/internal/fixture"
	"resslt/batcher/produce"
	"resslt/batcher/wire"
	"resslt/schemas"
	"resslt/schemas/freeport"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// HashMaker derives pixels and plans from epoch, sample and view, so that content
// can be checked from end to end without an image.
type HashMaker struct {
	Spec *schemas.RunSpec
	Src  *HashSource
}

// Make is a produce.Maker's.
func (m *HashMaker) Make(ctx context.Context, row wire.TaskRow, dst, plans [][]byte) (produce.Made, error) {
	if err := ctx.Err(); err != nil {
		return produce.Made{}, err
	}
	if f := m.Src.Before; f != nil {
		if err := f(ctx, row); err != nil {
			return produce.Made{}, err
		}
	}
	for v := range dst {
		p := fixture.PixelByte(row.Epoch, row.Sample, v) + m.Src.Salt
		for i := range dst[v] {
			dst[v][i] = p + byte(i)
		}
		plans[v] = fmt.Appendf(plans[v][:0], "plan %d/%d/%d", row.Epoch, row.Sample, v)
	}
	return produce.Made{Label: int32(row.Sample % 10)}, nil
}

// Close counts the maker as closed.
func (m *HashMaker) Close() error { m.Src.Open.Add(-1); return nil }

// HashSource makes hashMakers; before is called ahead of every sample.
type HashSource struct {
	Spec   schemas.RunSpec
	Before func(context.Context, wire.TaskRow) error
	Salt   byte
	Open   atomic.Int64 // makers and sources that are open
}

// Order is an order of the fixture's.
func (s *HashSource) Order() wire.Order { return fixture.StrideOrder{N: s.Spec.Dataset.Samples} }

// NewMaker opens a maker.
func (s *HashSource) NewMaker() (produce.Maker, error) {
	s.Open.Add(1)
	return &HashMaker{Spec: &s.Spec, Src: s}, nil
}

// Close counts the source as closed.
func (s *HashSource) Close() error { s.Open.Add(-1); return nil }

// Opener opens the source for a run, as a worker's options want it.
func (s *HashSource) Opener(_ context.Context, info *schemas.RunInfo) (produce.Source, error) {
	s.Open.Add(1)
	return &opened{s, info.Spec}, nil
}

// opened is a HashSource that serves one of several runs.
type opened struct {
	*HashSource
	spec schemas.RunSpec
}

func (o *opened) Order() wire.Order { return fixture.StrideOrder{N: o.spec.Dataset.Samples} }

func (o *opened) NewMaker() (produce.Maker, error) {
	o.Open.Add(1)
	return &HashMaker{Spec: &o.spec, Src: o.HashSource}, nil
}

// Broker is a broker that a test can stop and start again.
type Broker struct {
	Name  string
	Dir   string
	Addr  string // of TCP brokers
	Start func(t *testing.T, b *Broker)
	Stop  func()
	in    *broker.Broker // embedded
}

// Connect connects until the end of the test.
func (b *Broker) Connect(t *testing.T) (*nats.Conn, jetstream.JetStream) {
	t.Helper()
	o := broker.ConnectOptions{Name: t.Name()}
	if b.Addr == "" {
		o.Broker = b.in
	} else {
		o.URL = "nats://" + b.Addr
	}
	if b.in != nil {
		o.Token = b.in.Token()
	}
	nc, js, err := broker.Connect(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc, js
}

// Embedded is a broker in this process, on an address or for this process alone.
func Embedded(listen bool) *Broker {
	b := &Broker{Name: "in-process"}
	if listen {
		b.Name = "tcp"
	}
	b.Start = func(t *testing.T, b *Broker) {
		o := broker.Options{StoreDir: b.Dir}
		if listen {
			if b.Addr == "" {
				b.Addr = FreeAddr(t)
			}
			o.Listen, o.Token = b.Addr, "of-the-test"
		}
		var err error
		if b.in, err = broker.Start(o); err != nil {
			t.Fatal(err)
		}
		b.Stop = func() { b.in.Close() }
	}
	return b
}

// Separate is Debian's nats-server, another process.
func Separate() *Broker {
	b := &Broker{Name: "nats-server"}
	b.Start = func(t *testing.T, b *Broker) {
		bin, err := exec.LookPath("nats-server")
		if err != nil {
			t.Skip("nats-server is not on PATH: apt-get install nats-server")
		}
		if b.Addr == "" {
			b.Addr = FreeAddr(t)
		}
		_, port, _ := net.SplitHostPort(b.Addr)
		conf := filepath.Join(b.Dir, "nats.conf")
		text := fmt.Sprintf("host: 127.0.0.1\nport: %s\nmax_payload: 8MB\njetstream { store_dir: %q }\n", port, filepath.Join(b.Dir, "js"))
		if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		s := &server{bin: bin, conf: conf, log: filepath.Join(b.Dir, "nats.log"), store: filepath.Join(b.Dir, "js")}
		s.start(t)
		b.Stop = s.stop
		for deadline := time.Now().Add(20 * time.Second); !answers(b.Addr); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				s.stop()
				t.Fatalf("nats-server does not answer on %s; its log ends with\n%s", b.Addr, s.tail())
			}
		}
	}
	return b
}

// mostEnds is how often a server ends by itself before its store is taken away: version 2.9 has been
// seen to end at every start on a block with a flipped bit.
const mostEnds = 10

// server is a nats-server that is started again when it ends by itself, as a
// supervisor does: a damaged store has been seen to end it.
type server struct {
	bin, conf, log, store string

	mu      sync.Mutex
	cmd     *exec.Cmd // guarded by mu
	stopped bool      // guarded by mu
	done    sync.WaitGroup
}

func (s *server) start(t *testing.T) {
	if err := s.launch(); err != nil {
		t.Fatal(err)
	}
	s.done.Go(func() {
		for ended := 1; ; ended++ {
			err := s.cmd.Wait() // only this goroutine replaces cmd
			s.mu.Lock()
			stopped := s.stopped
			s.mu.Unlock()
			if stopped {
				return
			}
			t.Logf("nats-server ended (%v) and is started again; its log ends with\n%s", err, s.tail())
			if ended == mostEnds {
				t.Logf("its store is taken away, as by who sees that it does not come up with it")
				if err := os.RemoveAll(s.store); err != nil {
					t.Log(err)
				}
			}
			time.Sleep(100 * time.Millisecond)
			if err := s.launch(); err != nil {
				t.Log(err)
				return
			}
		}
	})
}

// launch starts the process, unless the server was stopped.
func (s *server) launch() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	cmd := exec.Command(s.bin, "-c", s.conf, "-l", s.log)
	if s.stopped {
		return errors.New("nats-server was stopped")
	}
	s.cmd = cmd
	return cmd.Start()
}

// stop kills the process, and returns when it is gone. A second stop does nothing.
func (s *server) stop() {
	s.mu.Lock()
	s.stopped = true
	_ = s.cmd.Process.Kill() // fails where it has ended
	s.mu.Unlock()
	s.done.Wait()
}

// tail is the end of the server's log.
func (s *server) tail() string {
	raw, err := os.ReadFile(s.log)
	if err != nil {
		return err.Error()
	}
	return string(raw[max(0, len(raw)-2000):])
}

// answers reports whether a NATS server greets those who connect to the address.
func answers(addr string) bool {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return false
	}
	defer c.Close()
	greeting := make([]byte, 4)
	if c.SetReadDeadline(time.Now().Add(time.Second)) != nil {
		return false
	}
	_, err = io.ReadFull(c, greeting)
	return err == nil && string(greeting) == "INFO"
}

// FreeAddr is an address that nobody listens on.
func FreeAddr(t *testing.T) string {
	t.Helper()
	addr, err := freeport.Addr()
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

// Launch starts a broker for the test.
func Launch(t *testing.T, b *Broker) *Broker {
	t.Helper()
	b.Dir = t.TempDir()
	b.Start(t, b)
	t.Cleanup(func() { b.Stop() })
	return b
}

// EachBroker runs f against every kind of broker.
func EachBroker(t *testing.T, f func(t *testing.T, b *Broker)) {
	for _, b := range []*Broker{Embedded(false), Embedded(true), Separate()} {
		t.Run(b.Name, func(t *testing.T) { f(t, Launch(t, b)) })
	}
}

// CheckLeaks fails the test if f leaves goroutines behind.
func CheckLeaks(t *testing.T, f func()) {
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

// Cable is a TCP connection to a broker that a test can cut.
type Cable struct {
	Addr string

	mu    sync.Mutex
	open  bool       // guarded by mu
	conns []net.Conn // guarded by mu
}

// NewCable lays a cable to a broker's address.
func NewCable(t *testing.T, to string) *Cable {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &Cable{Addr: l.Addr().String(), open: true}
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
		w.Cut()
		wg.Wait()
	})
	return w
}

func (w *Cable) add(conns ...net.Conn) bool {
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

// Cut ends every connection, and allows no new one.
func (w *Cable) Cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open = false
	for _, c := range w.conns {
		c.Close()
	}
	w.conns = nil
}

// Plug allows connections again.
func (w *Cable) Plug() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open = true
}

// Want is the digest of the batches of steps [from, to), made without a broker.
func Want(t *testing.T, spec schemas.RunSpec, src *HashSource, from, to int64) []string {
	t.Helper()
	plain := &HashSource{Spec: spec, Before: src.Before}
	batches, err := assemble.Batches(t.Context(), &spec, plain.Order(), &HashMaker{Spec: &spec, Src: plain}, from, int(to-from))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, b := range batches {
		out = append(out, BatchDigest(b))
	}
	return out
}

// BatchDigest is a batch's step and the digest of all that it holds.
func BatchDigest(b *schemas.Batch) string {
	h := sha256.New()
	fmt.Fprintln(h, b.Step, b.Epoch, b.Size, b.Samples, b.Labels, b.Replaced, b.Reasons)
	for _, p := range b.Pixels {
		h.Write(p)
	}
	return fmt.Sprintf("%d:%x", b.Step, h.Sum(nil)[:8])
}

// Equal fails the test where batches differ.
func Equal(t *testing.T, got, want []string) {
	t.Helper()
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Fatalf("batches differ:\n%s\nwant\n%s", g, w)
	}
}

// Chunk is a chunk as a worker makes it.
func Chunk(t testing.TB, spec *schemas.RunSpec, step int64, index int) *wire.Chunk {
	t.Helper()
	src := &HashSource{Spec: *spec}
	c := wire.NewChunk(spec)
	if err := produce.Fill(t.Context(), spec, src.Order(), &HashMaker{Spec: spec, Src: src}, wire.NewTask(spec, src.Order(), step, index), c); err != nil {
		t.Fatal(err)
	}
	return c
}

// Message is a chunk's message in run "r".
func Message(t testing.TB, spec *schemas.RunSpec, c *wire.Chunk) *nats.Msg {
	t.Helper()
	body, err := wire.NewEncoder(spec).Encode(c)
	if err != nil {
		t.Fatal(err)
	}
	return wire.ChunkMessage("r", spec.Digest(), c.Step, c.Index, body, "", "w")
}

// Take takes n steps of a stream, and returns their digests.
func Take(t *testing.T, s interface {
	Next(ctx context.Context) (*schemas.Batch, error)
}, n int64,
) []string {
	t.Helper()
	var out []string
	for range n {
		b, err := s.Next(t.Context())
		if err != nil {
			t.Fatalf("after %d steps: %v", len(out), err)
		}
		out = append(out, BatchDigest(b))
		b.Release()
	}
	return out
}
