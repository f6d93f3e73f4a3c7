package serve

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"resslt/cmd/internal/serve/peer"
	"resslt/schemas/errs"
	"resslt/schemas/errs/errstest"
)

// end waits until the server has ended.
func (r *running) end(t *testing.T) error {
	t.Helper()
	select {
	case err := <-r.ended:
		return err
	case <-time.After(patience):
		t.Fatal("the server goes on")
		return nil
	}
}

// A server that is told to stop tells its clients, whatever they are at, and leaves nothing.
func TestStopping(t *testing.T) {
	r := start(t, options(t, nil))
	waits := connect(t, r, func(h *peer.Hello) { h.Client, h.Credits = "waits", 1 })
	if e := waits.next(); e.Message == nil {
		t.Fatalf("%+v", e)
	}
	other := connect(t, r, func(h *peer.Hello) { h.Client, h.From = "at-the-end", 10 })
	if e := other.next(); e.Event != "end" {
		t.Fatalf("%+v", e)
	}
	r.stop()
	for _, p := range []*drinker{waits, other} {
		if e := p.next(); e.Event != "stopping" || e.Text == "" {
			t.Errorf("%+v in place of the last word", e)
		}
		if _, _, _, err := p.Read(); !errors.Is(err, io.EOF) {
			t.Errorf("after it: %v", err)
		}
	}
	if err := r.end(t); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(strings.TrimPrefix(r.Listen, "unix:")); !os.IsNotExist(err) {
		t.Errorf("the socket: %v", err)
	}
}

// A server ends with its parent's end of standard input.
func TestWithParent(t *testing.T) {
	in, parent := io.Pipe()
	r := start(t, options(t, func(o *Options) { o.WithParent, o.Stdin = true, in }))
	p := connect(t, r, nil)
	if e := p.next(); e.Message == nil {
		t.Fatalf("%+v", e)
	}
	parent.Close()
	if err := r.end(t); err != nil {
		t.Error(err)
	}
}

// A server that serves once outlives a client that vanishes, and ends with one that says bye.
func TestOnce(t *testing.T) {
	r := start(t, options(t, func(o *Options) { o.Once = true }))
	gone := connect(t, r, nil)
	gone.next()
	gone.Close()
	p := connect(t, r, nil)
	p.next()
	if err := p.Bye(); err != nil {
		t.Error(err)
	}
	if err := r.end(t); err != nil {
		t.Error(err)
	}
}

// A client that stops reading holds the window, and nothing grows: another of the run gets what
// the window has, and then word that it waits. When the first goes on, so does the other.
func TestStoppedReader(t *testing.T) {
	o := options(t, func(o *Options) { o.Window, o.Waiting = 2, 20*time.Millisecond })
	truth := calm(t, o)
	r := start(t, o)
	stopped := connect(t, r, func(h *peer.Hello) { h.Client = "stopped" })
	other := connect(t, r, func(h *peer.Hello) { h.Client, h.Shared = "other", true })
	step := int64(0)
	var e peer.Event
	for e = other.next(); e.Message != nil; e = other.next() {
		other.want(e, truth, step, 0, 8)
		other.done(step, e)
		step++
	}
	if e.Event != "waiting" || e.Step != step || step > o.Window || !strings.Contains(e.Why, "chunks have not come") {
		t.Fatalf("after step %d: %+v", step, e)
	}
	stopped.ackUntil(t, 1)
	for e.Message == nil {
		e = other.next()
	}
	other.want(e, truth, step, 0, 8)
}

// ackUntil takes batches and acknowledges them up to a step.
func (c *drinker) ackUntil(t *testing.T, last int64) {
	t.Helper()
	for step := int64(0); step <= last; {
		if e := c.next(); e.Message != nil {
			c.done(step, e)
			step++
		}
	}
}

// What makes the batches fails: its clients are told the reason, and the server ends with it.
func TestSupplyFails(t *testing.T) {
	o := options(t, func(o *Options) { o.Set = append(o.Set, "on_error=fail") })
	dir := strings.TrimPrefix(o.Data, "folder:")
	if err := os.WriteFile(filepath.Join(dir, "train", "cats", "zz.png"), []byte("\x89PNG\r\n\x1a\nno picture"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := start(t, o)
	p := connect(t, r, nil)
	for {
		e, err := p.Next()
		var refused *peer.Refused
		if errors.As(err, &refused) {
			if refused.Kind != "tombstone" || !strings.Contains(refused.Text, "step") {
				t.Errorf("%+v", refused)
			}
			return
		}
		if err != nil || e.Event == "end" {
			t.Fatalf("%+v, %v in place of a tombstone", e, err)
		}
		if e.Message != nil {
			b, err := p.Batch(e)
			if err != nil {
				t.Fatal(err)
			}
			p.done(b.Step, e)
		}
	}
}

// Beyond this machine batches come under TLS, from a server whose certificate the client knows.
func TestTLS(t *testing.T) {
	cert, key, pool := certificate(t)
	o := options(t, func(o *Options) { o.Listen, o.CertFile, o.KeyFile = "tls:127.0.0.1:0", cert, key })
	truth := calm(t, o)
	r := start(t, o)
	if _, err := peer.Dial(r.Listen, &tls.Config{}); err == nil {
		t.Error("a client that knows no authority trusts the server")
	}
	r.tls = &tls.Config{RootCAs: pool}
	if p := connect(t, r, func(h *peer.Hello) { h.Token = "" }); p.refused == nil || p.refused.Kind != "denied" {
		t.Errorf("without a token: %+v", p.refused)
	}
	connect(t, r, nil).drink(truth, 0, 0, 8)
}

// certificate makes a certificate of this machine's own.
func certificate(t *testing.T) (cert, key string, pool *x509.CertPool) {
	t.Helper()
	secret, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	of := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, of, of, secret.Public(), secret)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, kind string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	cert, key = write("cert.pem", "CERTIFICATE", der), write("key.pem", "PRIVATE KEY", raw)
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool = x509.NewCertPool()
	pool.AddCert(parsed)
	return cert, key, pool
}

// What is asked for and can never be is refused before anything is started.
func TestWrongUse(t *testing.T) {
	for _, c := range []struct {
		says   string
		change func(*Options)
	}{
		{"--workers 0", func(o *Options) { o.Workers = 0 }},
		{"give --nats", func(o *Options) { o.Run = "r" }},
		{"no policy is named", func(o *Options) { o.Policy = "" }},
		{"no data is named", func(o *Options) { o.Data = "" }},
		{"there is no preset", func(o *Options) { o.Policy = "nothing" }},
		{"have 2 and 3 numbers", func(o *Options) { o.Mean, o.Given = []float64{1, 2}, only("policy", "mean") }},
		{"above 0", func(o *Options) { o.Std, o.Given = []float64{1, 0, 1}, only("policy", "std") }},
		{"batch_size", func(o *Options) { o.BatchSize = 44 }},
		{"batch_size", func(o *Options) { o.BatchSize = 0 }},
		{"-1", func(o *Options) { o.Epochs = -1 }},
		{"key", func(o *Options) { o.Set = []string{"nothing=1"} }},
	} {
		err := Run(t.Context(), options(t, c.change))
		errstest.Want(t, err, errs.ErrUsage, c.says)
	}
}

func only(flags ...string) func(string) bool {
	return func(flag string) bool {
		for _, f := range flags {
			if f == flag {
				return true
			}
		}
		return false
	}
}

// A data set whose pixels some recipe knows is normalised as there.
func TestNormalisation(t *testing.T) {
	for uri, known := range map[string]bool{"cifar10:/d": true, "fashion-mnist:": true, "stl10:/d": true, "folder:/d": false, "wds:/d": false} {
		if mean, std := normalisation(uri); (mean != nil) != known || len(mean) != len(std) {
			t.Errorf("%s: %v %v", uri, mean, std)
		}
	}
}
