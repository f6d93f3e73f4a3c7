package batcher

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"resslt/schemas"
	"resslt/schemas/errs"
)

func TestRunIsWrittenOnce(t *testing.T) {
	eachBroker(t, func(t *testing.T, b *testBroker) {
		_, js := b.connect(t)
		spec := testSpec()
		ctx := t.Context()
		_, err := LookupRun(ctx, js, "r")
		wantErr(t, err, errs.ErrNotFound, "r")
		openRun(t, js, spec, RunOptions{DataURI: "folder:here"})
		openRun(t, js, spec, RunOptions{DataURI: "folder:here", Window: 5}) // again, wider
		other := spec
		other.Seed, other.BatchSize = 9, 11
		_, err = OpenRun(ctx, js, "r", other, RunOptions{})
		wantErr(t, err, errs.ErrMismatch, other.Digest()[:12], spec.Digest()[:12], "batch_size, seed", "--run", "--fresh")
		if _, err := OpenRun(ctx, js, "r2", other, RunOptions{Storage: StorageFile}); err != nil {
			t.Fatal(err)
		}
		_, err = OpenRun(ctx, js, "r2", other, RunOptions{})
		wantErr(t, err, errs.ErrMismatch, "storage")
		runs, err := ListRuns(ctx, js)
		if err != nil || len(runs) != 2 || runs[0].Name != "r" || runs[0].Record.DataURI != "folder:here" || runs[1].opts.Storage != StorageFile {
			t.Fatalf("%+v, %v", runs, err)
		}
		// Data that moved is found where the run was last opened with it, also
		// after a trainer that still has the old place has looked after the run.
		old := openRun(t, js, spec, RunOptions{DataURI: "folder:here", Window: 5})
		openRun(t, js, spec, RunOptions{DataURI: "folder:there", Window: 5})
		if err := old.Ensure(ctx); err != nil {
			t.Fatal(err)
		}
		if runs, err = ListRuns(ctx, js); err != nil || runs[0].Record.DataURI != "folder:there" {
			t.Fatalf("data at %q, %v", runs[0].Record.DataURI, err)
		}
		if runs[0].opts.Window != 5 {
			t.Errorf("window %d, opened with 5", runs[0].opts.Window)
		}
		for range 2 {
			err = DeleteRun(ctx, js, "r")
		}
		wantErr(t, err, errs.ErrNotFound, "r")
		if _, err := OpenRun(ctx, js, "r", other, RunOptions{}); err != nil {
			t.Fatal(err) // the name is free again
		}
	})
}

func TestOpenRunRefuses(t *testing.T) {
	_, js := launch(t, embedded(false)).connect(t)
	spec := testSpec()
	bad := spec
	bad.BatchSize = 0
	for _, tc := range []struct {
		name string
		run  string
		spec schemas.RunSpec
		opts RunOptions
		text string
	}{
		{"name", "a.b", spec, RunOptions{}, "a.b"},
		{"spec", "r", bad, RunOptions{}, "batch_size"},
		{"storage", "r", spec, RunOptions{Storage: "tape"}, "tape"},
		{"window", "r", spec, RunOptions{Window: -1}, "negative"},
	} {
		_, err := OpenRun(t.Context(), js, tc.run, tc.spec, tc.opts)
		wantErr(t, err, errs.ErrUsage, tc.text)
	}
	run := openRun(t, js, spec, RunOptions{Window: 3})
	for text, o := range map[string]StreamOptions{"window": {Window: 4}, "from": {From: 13}, "trainer": {Trainer: "a b"}} {
		_, err := OpenStream(t.Context(), run, strideOrder{47}, o)
		wantErr(t, err, errs.ErrUsage, text)
	}
	large := spec
	large.Views[0].Size, large.ChunkSamples = 1024, 3
	_, err := OpenRun(t.Context(), js, "large", large, RunOptions{})
	wantErr(t, err, errs.ErrTooLarge, "max_payload")
}

// Each way in which there is no usable broker has its own line.
func TestConnectRefuses(t *testing.T) {
	ctx := t.Context()
	_, _, err := Connect(ctx, ConnectOptions{})
	wantErr(t, err, errs.ErrUsage)
	addr := freeAddr(t)
	_, _, err = Connect(ctx, ConnectOptions{URL: "nats://user:secret@" + addr, Timeout: time.Second})
	wantErr(t, err, errs.ErrUnavailable, addr, "nats-server -js")
	if strings.Contains(err.Error(), "secret") {
		t.Errorf("a password is shown: %v", err)
	}
	_, _, err = Connect(ctx, ConnectOptions{URL: "nats://" + addr, Creds: "missing.creds"})
	wantErr(t, err, errs.ErrNotFound, "missing.creds")

	b, err := StartBroker(BrokerOptions{StoreDir: t.TempDir(), Listen: "127.0.0.1:0", Token: "let-me-in"})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	_, _, err = Connect(ctx, ConnectOptions{URL: b.URL()})
	wantErr(t, err, errs.ErrDenied, "token")
	for _, o := range []ConnectOptions{{URL: b.URL(), Token: "let-me-in"}, {Broker: b}} {
		nc, _, err := Connect(ctx, o)
		if err != nil {
			t.Fatal(err)
		}
		nc.Close()
	}

	bin, err := exec.LookPath("nats-server")
	if err != nil {
		t.Skip("nats-server is not on PATH: apt-get install nats-server")
	}
	for _, tc := range []struct{ conf, text string }{
		{"", "-js"},
		{"jetstream { store_dir: %q }", "max_payload"},
	} {
		addr := freeAddr(t)
		_, port, _ := net.SplitHostPort(addr)
		dir := t.TempDir()
		conf := filepath.Join(dir, "c")
		text := "host: 127.0.0.1\nport: " + port + "\n"
		if tc.conf != "" {
			text += fmt.Sprintf(tc.conf, dir)
		}
		if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		sctx, cancel := context.WithCancel(ctx)
		cmd := exec.CommandContext(sctx, bin, "-c", conf)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for range 200 {
			if c, err := net.Dial("tcp", addr); err == nil {
				c.Close()
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		spec := testSpec()
		spec.Views[0].Size, spec.ChunkSamples = 512, 2
		nc, js, err := Connect(ctx, ConnectOptions{URL: "nats://" + addr})
		if err == nil {
			_, err = OpenRun(ctx, js, "r", spec, RunOptions{})
			nc.Close()
			wantErr(t, err, errs.ErrTooLarge, tc.text, addr)
		} else {
			wantErr(t, err, errs.ErrUnavailable, tc.text, addr)
		}
		cancel()
		_ = cmd.Wait()
	}
}

func TestStartBrokerRefuses(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, tc := range []struct {
		name string
		o    BrokerOptions
		kind error
		text string
	}{
		{"no store", BrokerOptions{}, errs.ErrUsage, "folder"},
		{"open to all", BrokerOptions{StoreDir: t.TempDir(), Listen: "0.0.0.0:0"}, errs.ErrUsage, "token"},
		{"no address", BrokerOptions{StoreDir: t.TempDir(), Listen: "4222"}, errs.ErrUsage, "host:port"},
		{"taken", BrokerOptions{StoreDir: t.TempDir(), Listen: l.Addr().String()}, errs.ErrUnavailable, l.Addr().String()},
		{"not a folder", BrokerOptions{StoreDir: "/dev/null/x"}, errs.ErrUnavailable, "/dev/null/x"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := StartBroker(tc.o)
			wantErr(t, err, tc.kind, tc.text)
		})
	}
}

func TestDefaultWindow(t *testing.T) {
	for _, tc := range []struct {
		size, batch int
		want        int64
	}{
		{32, 256, 64},  // 1.6 MB a step
		{224, 64, 27},  // 19 MB
		{224, 1024, 2}, // 308 MB
	} {
		s := testSpec()
		s.Views = []schemas.ViewSpec{{Name: "a", Size: tc.size}, {Name: "b", Size: tc.size}}
		s.BatchSize = tc.batch
		if got := DefaultWindow(&s); got != tc.want {
			t.Errorf("%+v: window %d", tc, got)
		}
	}
}

// A run that is deleted and opened again at once, as --fresh does: the broker may
// still be clearing the old stream's folder away.
func TestDeleteAndOpenAgain(t *testing.T) {
	eachBroker(t, func(t *testing.T, b *testBroker) {
		_, js := b.connect(t)
		for range 10 {
			openRun(t, js, testSpec(), RunOptions{Storage: StorageFile})
			if err := DeleteRun(t.Context(), js, "r"); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// A trainer that joins with a smaller window does not take the room of the one whose run
// it is; one with a larger window makes room for it.
func TestLimitIsNotLowered(t *testing.T) {
	eachBroker(t, func(t *testing.T, b *testBroker) {
		_, js := b.connect(t)
		spec := testSpec()
		spec.Views[0].Size = 512 // so that windows differ by more than the slack
		limit := func(window, maxBytes int64) int64 {
			t.Helper()
			openRun(t, js, spec, RunOptions{Storage: StorageFile, Window: window, MaxBytes: maxBytes})
			s, err := js.Stream(t.Context(), schemas.BatchStream("r"))
			if err != nil {
				t.Fatal(err)
			}
			return s.CachedInfo().Config.MaxBytes
		}
		of := func(window int64) int64 { return RunOptions{Window: window}.applyDefaults(&spec).MaxBytes }
		for _, tc := range []struct{ window, bytes, want int64 }{{8, 0, of(8)}, {2, 0, of(8)}, {20, 0, of(20)}, {20, 1 << 20, of(20)}} {
			if got := limit(tc.window, tc.bytes); got != tc.want {
				t.Errorf("opened with window %d, the limit is %d, want %d", tc.window, got, tc.want)
			}
		}
	})
}
