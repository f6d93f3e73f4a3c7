package broker_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"resslt/schemas/errs/errstest"

	"resslt/batcher/broker"
	"resslt/batcher/internal/fixture"
	"resslt/batcher/internal/link"
	"resslt/batcher/internal/rig"
	"resslt/batcher/runs"
	"resslt/schemas/errs"

	"github.com/nats-io/nats.go"
)

// Each way in which there is no usable broker has its own line.
func TestConnectRefuses(t *testing.T) {
	ctx := t.Context()
	_, _, err := broker.Connect(ctx, broker.ConnectOptions{})
	errstest.Want(t, err, errs.ErrUsage)
	addr := rig.FreeAddr(t)
	_, _, err = broker.Connect(ctx, broker.ConnectOptions{URL: "nats://user:secret@" + addr, Timeout: time.Second})
	errstest.Want(t, err, errs.ErrUnavailable, addr, "nats-server -js")
	if strings.Contains(err.Error(), "secret") {
		t.Errorf("a password is shown: %v", err)
	}
	_, _, err = broker.Connect(ctx, broker.ConnectOptions{URL: "nats://" + addr, Creds: "missing.creds"})
	errstest.Want(t, err, errs.ErrNotFound, "missing.creds")

	b, err := broker.Start(broker.Options{StoreDir: t.TempDir(), Listen: "127.0.0.1:0", Token: "let-me-in"})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	_, _, err = broker.Connect(ctx, broker.ConnectOptions{URL: b.URL()})
	errstest.Want(t, err, errs.ErrDenied, "token")
	for _, o := range []broker.ConnectOptions{{URL: b.URL(), Token: "let-me-in"}, {Broker: b}} {
		nc, _, err := broker.Connect(ctx, o)
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
		addr := rig.FreeAddr(t)
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
		spec := fixture.Spec()
		spec.Views[0].Size, spec.ChunkSamples = 512, 2
		nc, js, err := broker.Connect(ctx, broker.ConnectOptions{URL: "nats://" + addr})
		if err == nil {
			_, err = runs.Open(ctx, js, "r", spec, runs.Options{})
			nc.Close()
			errstest.Want(t, err, errs.ErrTooLarge, tc.text, addr)
		} else {
			errstest.Want(t, err, errs.ErrUnavailable, tc.text, addr)
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
		o    broker.Options
		kind error
		text string
	}{
		{"no store", broker.Options{}, errs.ErrUsage, "folder"},
		{"open to all", broker.Options{StoreDir: t.TempDir(), Listen: "0.0.0.0:0"}, errs.ErrUsage, "token"},
		{"no address", broker.Options{StoreDir: t.TempDir(), Listen: "4222"}, errs.ErrUsage, "host:port"},
		{"taken", broker.Options{StoreDir: t.TempDir(), Listen: l.Addr().String()}, errs.ErrUnavailable, l.Addr().String()},
		{"not a folder", broker.Options{StoreDir: "/dev/null/x"}, errs.ErrUnavailable, "/dev/null/x"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := broker.Start(tc.o)
			errstest.Want(t, err, tc.kind, tc.text)
		})
	}
}

// Every way in which a client says that its broker does not answer is one text.
func TestSilenceHasOneText(t *testing.T) {
	b := rig.Launch(t, rig.Embedded(true))
	nc, _ := b.Connect(t)
	const text = "look up run r: unavailable: broker nats://"
	for _, err := range []error{
		nats.ErrReconnectBufExceeded, nats.ErrNoServers, nats.ErrTimeout, nats.ErrDisconnected,
		nats.ErrConnectionReconnecting, nats.ErrStaleConnection, context.DeadlineExceeded,
	} {
		got := link.Unavailable(nc, "look up run", "r", err)
		errstest.Want(t, got, errs.ErrUnavailable, text+b.Addr+" does not answer", "start the broker again")
		errstest.Want(t, got, err)
	}
	errstest.Want(t, link.Unavailable(nc, "look up run", "r", errors.New("no space left")), errs.ErrUnavailable, "no space left", "store has room")
	nc.Close()
	errstest.Want(t, link.Unavailable(nc, "look up run", "r", nats.ErrConnectionClosed), errs.ErrUnavailable, "connection closed")
}

func TestRedactURLs(t *testing.T) {
	for in, want := range map[string]string{
		"nats://a:1":                           "nats://a:1",
		"a:1":                                  "nats://a:1",
		"user:secret@a:1":                      "nats://...@a:1",
		"nats://token@a:1, tls://u:p@b@host:2": "nats://...@a:1,tls://...@host:2",
	} {
		if got := link.RedactURLs(in); got != want {
			t.Errorf("%s is shown as %s, want %s", in, got, want)
		}
	}
}
