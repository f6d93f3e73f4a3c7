package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"resslt/batcher/broker"
	"resslt/batcher/runs"
	"resslt/cmd/internal/serve"
	"resslt/cmd/internal/serve/peer"
)

// drinkMark is the variable that has this test binary be a client of a server: its value is the
// server's address. It prints "step digest" of every batch before it acknowledges it.
const drinkMark = "RESSLT_TEST_DRINK"

// drink is the client's process. It acknowledges every batch but the last that it prints.
func drink(address string) int {
	h := peer.Default("killed")
	h.Shared = true
	p, err := peer.Connect(address, nil, h, time.Minute)
	for err == nil {
		var e peer.Event
		if e, err = p.Next(); err != nil || e.Message == nil {
			continue
		}
		b, berr := p.Batch(e)
		if berr != nil {
			err = berr
			break
		}
		fmt.Println(b.Step, peer.Digest(b, 0, b.Size))
		err = p.Done(b.Step, e.Slot)
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// startServe starts `resslt serve` on the small data, and gives the line that it prints.
func startServe(t *testing.T, stdin io.Reader, args ...string) (*program, serve.Ready) {
	t.Helper()
	needData(t)
	c := command(t, "resslt", append([]string{
		"serve", "--data", "fashion-mnist:" + smallData(), "--policy", "small", "--image-size", "28", "--batch-size", "50",
		"--seed", "7", "--epochs", "2", "--listen", "unix:" + filepath.Join(t.TempDir(), "door"),
	}, args...)...)
	c.Stdin, c.Stdout = stdin, nil
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	start(t, c)
	var r serve.Ready
	if err := json.NewDecoder(out).Decode(&r); err != nil {
		_ = c.Wait() // the pipe is closed
		t.Fatalf("no ready line: %v\n%s", err, &c.errs)
	}
	return c, r
}

// digests drinks a client's steps from a position on up to a step.
func digests(t *testing.T, address, name string, from, to int64) map[int64]string {
	t.Helper()
	h := peer.Default(name)
	h.From, h.Shared = from, true
	p, err := peer.Connect(address, nil, h, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	out := map[int64]string{}
	for step := p.From; step < to; {
		e, err := p.Next()
		if err != nil {
			t.Fatal(err)
		}
		if e.Message == nil {
			continue
		}
		b, err := p.Batch(e)
		if err == nil {
			err = p.Done(b.Step, e.Slot)
		}
		if err != nil {
			t.Fatal(err)
		}
		out[b.Step] = peer.Digest(b, 0, b.Size)
		step++
	}
	if err := p.Bye(); err != nil {
		t.Error(err)
	}
	return out
}

// sameDigests compares what two clients got of the steps that the first had.
func sameDigests(t *testing.T, what string, got, want map[int64]string) {
	t.Helper()
	for step, d := range got {
		if d != want[step] {
			t.Errorf("%s: step %d has %s, want %s", what, step, d, want[step])
		}
	}
}

// A client that is killed in mid-epoch and comes back gets what a calm one gets, from the first
// step on that it had not acknowledged.
func TestServeKilledClient(t *testing.T) {
	alsoUnderRace(t)
	_, ready := startServe(t, nil)
	calm := digests(t, ready.Listen, "calm", 0, 40)
	if len(calm) != 40 {
		t.Fatalf("%d steps of 40", len(calm))
	}
	victim := command(t, os.Args[0])
	victim.Path = os.Args[0]
	victim.Env = append(victim.Env, drinkMark+"="+ready.Listen)
	victim.Stdout = nil
	out, err := victim.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	start(t, victim)
	got, last := map[int64]string{}, int64(-1)
	for lines := bufio.NewScanner(out); last < 13 && lines.Scan(); {
		step, digest, _ := strings.Cut(lines.Text(), " ")
		if last, err = strconv.ParseInt(step, 10, 64); err != nil {
			t.Fatal(err)
		}
		got[last] = digest
	}
	if err := victim.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = victim.Wait() // it was killed
	if last < 13 {
		t.Fatalf("the client ended at step %d: %s", last, &victim.errs)
	}
	sameDigests(t, "before", got, calm)
	after := digests(t, ready.Listen, "killed", -1, 40)
	sameDigests(t, "after", after, calm)
	first := int64(40)
	for step := range after {
		first = min(first, step)
	}
	// It may have printed and acknowledged more than this test has read, and lost no step.
	if first < 13 || len(after) != int(40-first) {
		t.Errorf("it comes back at step %d, with %d steps; it had printed step 13", first, len(after))
	}
}

// A server of a farm's run that is killed is followed by another, which joins the run. One that
// makes a run of its own deletes it, also where its parent is gone.
func TestServeFarm(t *testing.T) {
	needPrograms(t)
	url := natsServer(t)
	start(t, command(t, "augmentd", "--nats", url, "--workers", "1"))
	_, embedded := startServe(t, nil)
	calm := digests(t, embedded.Listen, "calm", 0, 30)

	first, ready := startServe(t, nil, "--nats", url, "--run", "shared")
	if ready.Digest != embedded.Digest || ready.Run != "shared" {
		t.Errorf("%+v, want the run %s", ready, embedded.Digest)
	}
	sameDigests(t, "farm", digests(t, ready.Listen, "mine", -1, 12), calm)
	if err := first.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = first.Wait() // it was killed
	second, ready := startServe(t, nil, "--nats", url, "--run", "shared")
	after := digests(t, ready.Listen, "mine", -1, 30)
	if len(after) != 18 {
		t.Errorf("%d steps after the kill, want 18", len(after))
	}
	sameDigests(t, "after the kill", after, calm)
	if err := second.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if o := second.end(); o.code != 130 {
		t.Errorf("interrupted: exit %d\n%s", o.code, o.stderr)
	}
	if got := runNames(t, url); len(got) != 1 || got[0] != "shared" {
		t.Errorf("runs %v", got)
	}

	parent, child := pipe(t)
	own, _ := startServe(t, child, "--nats", url, "--with-parent")
	if got := runNames(t, url); len(got) != 2 {
		t.Errorf("runs %v, want shared and the server's own", got)
	}
	parent.Close()
	if o := own.end(); o.code != 0 {
		t.Errorf("its parent is gone: exit %d\n%s", o.code, o.stderr)
	}
	if got := runNames(t, url); len(got) != 1 {
		t.Errorf("runs %v: the server's own is still there", got)
	}
}

// pipe is a pipe of the system's, closed with the test.
func pipe(t *testing.T) (parent, child *os.File) {
	t.Helper()
	child, parent, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = errors.Join(parent.Close(), child.Close()) })
	return parent, child
}

// runNames are the names of a broker's runs.
func runNames(t *testing.T, url string) []string {
	t.Helper()
	nc, js, err := broker.Connect(t.Context(), broker.ConnectOptions{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	names, err := runs.Names(t.Context(), js)
	if err != nil {
		t.Fatal(err)
	}
	return names
}
