package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"resslt/augment"
	"resslt/batcher/broker"
	"resslt/cmd/internal/cli"
)

// asProgram has the test's own binary be augmentd.
const asProgram = "RESSLT_TEST_AS_AUGMENTD"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(cli.Main(newCommand()))
	}
	os.Exit(m.Run())
}

// program is augmentd as a process of its own.
type program struct {
	*exec.Cmd
	log  *bufio.Scanner // its standard error, a JSON object a line
	rest bytes.Buffer   // what was read of it
}

func start(t *testing.T, env []string, args ...string) *program {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &program{Cmd: exec.Command(self, append([]string{"--log", "json", "--workers", "1"}, args...)...)}
	p.Env = append(append(os.Environ(), asProgram+"=1"), env...)
	stderr, err := p.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.log = bufio.NewScanner(io.TeeReader(stderr, &p.rest))
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Process.Kill() })
	return p
}

// await reads the log up to a message, and gives its attribute of that name.
func (p *program) await(t *testing.T, msg, attr string) string {
	t.Helper()
	for p.log.Scan() {
		var rec map[string]any
		if err := json.Unmarshal(p.log.Bytes(), &rec); err != nil {
			t.Fatalf("a log line is no JSON: %q", p.log.Text())
		}
		if rec["msg"] == msg {
			s, _ := rec[attr].(string)
			return s
		}
	}
	t.Fatalf("it did not say %q:\n%s", msg, p.rest.String())
	return ""
}

// TestProcess: a worker is alive and ready, alive and not ready while its broker is
// away, and ends in good order on SIGTERM.
func TestProcess(t *testing.T) {
	dir := t.TempDir()
	b, err := broker.Start(broker.Options{StoreDir: dir, Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { b.Close() }()
	p := start(t, []string{"NATS_URL=" + b.URL(), "NATS_TOKEN=" + b.Token()}, "--metrics", "127.0.0.1:0", "--grace", "5s")
	at := "http://" + p.await(t, "metrics", "address")
	p.await(t, "serving", "worker")
	ask := func(path string, want int) {
		t.Helper()
		got := 0
		for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
			r, err := http.Get(at + path)
			if err != nil {
				t.Fatal(err)
			}
			r.Body.Close()
			if got = r.StatusCode; got == want {
				return
			}
		}
		t.Fatalf("%s answers %d, want %d", path, got, want)
	}
	ask("/healthz", 200)
	ask("/readyz", 200)
	ask("/metrics", 200)
	addr := strings.TrimPrefix(b.URL(), "nats://")
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	ask("/readyz", 503)
	ask("/healthz", 200)
	if b, err = broker.Start(broker.Options{StoreDir: dir, Listen: addr}); err != nil {
		t.Fatal(err)
	}
	ask("/readyz", 200)
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.await(t, "draining", "")
	p.await(t, "stopped", "")
	if err := p.Wait(); err != nil {
		t.Errorf("it ended with %v:\n%s", err, p.rest.String())
	}
}

// TestTierRefused: a worker that is asked for kernels that there are not says so in a
// line, and takes no tasks with others.
func TestTierRefused(t *testing.T) {
	if augment.Kernels(augment.DefaultEngine()) == "" {
		t.Skip("built without cgo: there are no tiers")
	}
	p := start(t, []string{"RESSLT_TIER=sse9"}, "--nats", "nats://127.0.0.1:1")
	for p.log.Scan() {
	}
	err := p.Wait()
	var exit *exec.ExitError
	if says := strings.TrimSpace(p.rest.String()); !errors.As(err, &exit) || exit.ExitCode() != cli.WrongUse ||
		strings.Contains(says, "\n") || !strings.Contains(says, "RESSLT_TIER") || !strings.Contains(says, "scalar") {
		t.Errorf("%v, %q", err, says)
	}
}

// TestRefused: who is not let in says so in a line, and does not try for ever.
func TestRefused(t *testing.T) {
	b, err := broker.Start(broker.Options{StoreDir: t.TempDir(), Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{nil, cli.Failed, "denied"},
		{[]string{"--token", "guess"}, cli.Failed, "--token"},
		{[]string{"--creds", "none.creds"}, cli.Failed, "none.creds"},
		{[]string{"--creds", "a", "--nkey", "b"}, cli.WrongUse, "one of --creds, --nkey and --token"},
		{[]string{"--workers", "0"}, cli.WrongUse, "--workers"},
		{[]string{"--log", "xml"}, cli.WrongUse, "--log"},
		{[]string{"--token", b.Token(), "--metrics", "9464"}, cli.WrongUse, "--metrics"},
	} {
		p := start(t, nil, append([]string{"--nats", b.URL()}, c.args...)...)
		for p.log.Scan() {
		}
		err := p.Wait()
		var exit *exec.ExitError
		lines := strings.Split(strings.TrimSpace(p.rest.String()), "\n")
		if last := lines[len(lines)-1]; !errors.As(err, &exit) || exit.ExitCode() != c.code || !strings.HasPrefix(last, "augmentd: ") || !strings.Contains(last, c.says) {
			t.Errorf("%v: %v, %q", c.args, err, last)
		}
	}
}
