package link_test

import (
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"resslt/batcher/internal/link"
	"resslt/batcher/internal/rig"
)

// sluggish lays a connection to a broker's address that, once armed, lets so many bytes of the
// broker's through and then none for a while.
func sluggish(t *testing.T, to string, pause time.Duration) (addr string, arm func(bytes int64)) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var armed atomic.Int64 // bytes that still pass, + 1; 0: all do
	var wg sync.WaitGroup
	wg.Go(func() {
		near, err := l.Accept()
		if err != nil {
			return
		}
		defer near.Close()
		far, err := net.Dial("tcp", to)
		if err != nil {
			t.Error(err)
			return
		}
		wg.Go(func() { _, _ = io.Copy(far, near); far.Close() })
		buf := make([]byte, 512)
		for {
			n, err := far.Read(buf)
			if left := armed.Load(); left > 0 {
				if left <= int64(n) {
					time.Sleep(pause)
					armed.Store(0)
				} else {
					armed.Store(left - int64(n))
				}
			}
			if _, werr := near.Write(buf[:n]); err != nil || werr != nil {
				return
			}
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return l.Addr().String(), func(bytes int64) { armed.Store(bytes + 1) }
}

// An answer that breaks off is made up for by other requests, and is not the last: when the broker
// is well again one request is enough, as before.
func TestLatestRecoversFromAStall(t *testing.T) {
	t.Parallel()
	b := rig.Launch(t, rig.Embedded(true))
	_, near := b.Connect(t)
	const n = 40
	if _, err := near.CreateStream(t.Context(), jetstream.StreamConfig{
		Name: "S", Subjects: []string{"S.*"}, Storage: jetstream.MemoryStorage, MaxMsgsPerSubject: 1, AllowDirect: true,
	}); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if _, err := near.Publish(t.Context(), fmt.Sprintf("S.%d", i), make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	addr, arm := sluggish(t, b.Addr, 1500*time.Millisecond)
	nc, err := nats.Connect("nats://"+addr, nats.Token("of-the-test"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	ask := func() (requests uint64) {
		t.Helper()
		before := nc.Stats().OutMsgs
		got, err := link.Latest(t.Context(), js, "S", "S.*")
		if err != nil || len(got) != n {
			t.Fatalf("%d messages of %d, %v", len(got), n, err)
		}
		return nc.Stats().OutMsgs - before
	}
	if got := ask(); got != 1 {
		t.Fatalf("%d requests of a broker that is well", got)
	}
	arm(10_000)
	if got := ask(); got <= n {
		t.Fatalf("%d requests where the answer broke off", got)
	}
	for deadline := time.Now().Add(15 * time.Second); ask() != 1; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it is never asked for several again")
		}
	}
}
