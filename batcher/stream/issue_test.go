package stream

import (
	"io"
	"net"
	"testing"
	"time"

	"resslt/batcher/broker"
	"resslt/batcher/internal/fixture"
	"resslt/batcher/internal/rig"
	"resslt/batcher/runs"
	"resslt/schemas"

	"github.com/nats-io/nats.go/jetstream"
)

// A trainer whose run is whole tells its workers nothing when it looks after it, which it does
// every few seconds while it waits: each of them would read the run again. Options that the
// broker lost are written.
func TestEnsureTellsNobody(t *testing.T) {
	rig.EachBroker(t, func(t *testing.T, b *rig.Broker) {
		_, js := b.Connect(t)
		run := openRun(t, js, fixture.Spec(), runs.Options{})
		told, err := js.Conn().SubscribeSync(schemas.AnyOptions)
		if err != nil {
			t.Fatal(err)
		}
		ensure := func() int {
			t.Helper()
			if err := run.EnsureOpen(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := js.Conn().Flush(); err != nil { // what was published has come
				t.Fatal(err)
			}
			n, _, err := told.Pending()
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		if n := ensure(); n != 0 {
			t.Errorf("the options of a run that is whole were published %d times", n)
		}
		s, err := js.Stream(t.Context(), schemas.CtrlStream("r"))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Purge(t.Context(), jetstream.WithPurgeSubject(schemas.OptionsSubject("r"))); err != nil {
			t.Fatal(err)
		}
		if n := ensure(); n != 1 {
			t.Errorf("options that were lost were published %d times", n)
		}
	})
}

// Tasks are issued several at a time: a broker that is far away does not make a step's chunks wait
// for one another.
func TestFarBroker(t *testing.T) {
	t.Parallel()
	const away = 40 * time.Millisecond // there, or back
	b := rig.Launch(t, rig.Separate())
	nc, js, err := broker.Connect(t.Context(), broker.ConnectOptions{URL: "nats://" + farther(t, b.Addr, away), Name: t.Name()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	spec := fixture.Spec()
	spec.Dataset.Samples, spec.BatchSize, spec.ChunkSamples, spec.StepsPerEpoch = 997, 128, 1, 4
	const window = 1
	d := testDriver(openRun(t, js, spec, runs.Options{Window: window}), Options{Window: window, BrokerTimeout: time.Minute})
	if err := d.handle(t.Context(), cycle{}); err != nil { // reads and clears what is there, too
		t.Fatal(err)
	}
	if got := d.stats.issued.Load(); got != int64(spec.Chunks()) {
		t.Fatalf("%d tasks were issued, want %d", got, spec.Chunks())
	}
	began := time.Now()
	d.cursor.Store(1)
	if err := d.handle(t.Context(), cycle{}); err != nil {
		t.Fatal(err)
	}
	took, oneByOne := time.Since(began), 2*away*time.Duration(spec.Chunks())
	if got := d.stats.issued.Load(); got != 2*int64(spec.Chunks()) {
		t.Errorf("%d tasks were issued, want %d", got, 2*spec.Chunks())
	}
	if took > oneByOne/2 {
		t.Errorf("%d tasks took %v; one after the other they take %v", spec.Chunks(), took, oneByOne)
	}
}

// farther is the address of a way to a broker on which every byte takes so long.
func farther(t *testing.T, to string, by time.Duration) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", to)
			if err != nil {
				near.Close()
				return
			}
			go late(far, near, by)
			go late(near, far, by)
		}
	}()
	return l.Addr().String()
}

// late copies what comes, each piece of it so much later than it came.
func late(to io.WriteCloser, from io.ReadCloser, by time.Duration) {
	type piece struct {
		at    time.Time
		bytes []byte
	}
	pieces := make(chan piece, 1024)
	go func() {
		defer to.Close()
		for p := range pieces {
			time.Sleep(time.Until(p.at))
			if _, err := to.Write(p.bytes); err != nil {
				from.Close()
			}
		}
	}()
	defer close(pieces)
	for {
		buf := make([]byte, 32<<10)
		n, err := from.Read(buf)
		if n > 0 {
			pieces <- piece{time.Now().Add(by), buf[:n]}
		}
		if err != nil {
			return
		}
	}
}
