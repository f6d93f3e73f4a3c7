package torchtest

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"resslt/schemas/freeport"

	"resslt/train/torch"
)

// Environment variables for a test's ranks.
const (
	envRank = "RESSLT_TEST_RANK"
	envPort = "RESSLT_TEST_PORT"
	envOut  = "RESSLT_TEST_OUT"
)

// ranksTimeout bounds a group of test processes; groupTimeout is the group's own.
const (
	ranksTimeout = 2 * time.Minute
	groupTimeout = 30 * time.Second
)

// Ranks runs body in n processes that form a group over gloo, with one thread each. The
// processes run this test binary again, and in it only the calling test up to this
// call. Ranks returns each rank's result, and fails the test if a rank fails. It skips
// the test if the shim lacks gloo.
func Ranks(t *testing.T, n int, body func(g *torch.Group) []byte) [][]byte {
	t.Helper()
	Require(t)
	if have, err := torch.Backends(); err != nil {
		t.Fatal(err)
	} else if !slices.Contains(have, "gloo") {
		t.Skip("needs a shim with gloo (libgloo-dev, then `make shim`)")
	}
	if r := os.Getenv(envRank); r != "" {
		beRank(t, n, r, body)
	}
	out, port := t.TempDir(), FreePort(t)
	ctx, cancel := context.WithTimeout(context.Background(), ranksTimeout)
	defer cancel()
	output, failed := make([]bytes.Buffer, n), make([]error, n)
	var running sync.WaitGroup
	for r := range n {
		running.Go(func() {
			c := exec.CommandContext(ctx, os.Args[0], "-test.count=1", "-test.run="+only(t.Name()))
			c.Env = append(os.Environ(), envRank+"="+strconv.Itoa(r), envPort+"="+strconv.Itoa(port), envOut+"="+out)
			c.Stdout, c.Stderr = &output[r], &output[r]
			failed[r] = c.Run()
		})
	}
	running.Wait()
	results := make([][]byte, n)
	for r := range n {
		if failed[r] != nil {
			t.Errorf("rank %d: %v\n%s", r, failed[r], output[r].String())
			continue
		}
		var err error
		if results[r], err = os.ReadFile(resultFile(out, r)); err != nil {
			t.Errorf("rank %d left no result: %v\n%s", r, err, output[r].String())
		}
	}
	if t.Failed() {
		t.FailNow()
	}
	return results
}

// beRank is the body of one process of Ranks; it ends the test.
func beRank(t *testing.T, n int, number string, body func(g *torch.Group) []byte) {
	t.Helper()
	rank, err := strconv.Atoi(number)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(os.Getenv(envPort))
	if err != nil {
		t.Fatal(err)
	}
	if err := torch.SetNumThreads(1); err != nil {
		t.Fatal(err)
	}
	g, err := torch.JoinGroup(torch.GroupOptions{
		Rank: rank, World: n, Host: "127.0.0.1", Port: port, Serve: rank == 0, Prefix: "test", Timeout: groupTimeout,
	})
	if err != nil {
		t.Fatal(err)
	}
	result := body(g)
	if t.Failed() {
		t.FailNow()
	}
	if err := g.Leave(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(resultFile(os.Getenv(envOut), rank), result, 0o644); err != nil {
		t.Fatal(err)
	}
	t.SkipNow()
}

func resultFile(dir string, rank int) string { return filepath.Join(dir, fmt.Sprintf("rank-%d", rank)) }

// only is the pattern that selects one test or subtest by -test.run.
func only(name string) string {
	parts := strings.Split(name, "/")
	for i, p := range parts {
		parts[i] = "^" + regexp.QuoteMeta(p) + "$"
	}
	return strings.Join(parts, "/")
}

// FreePort returns a port of this machine on which nothing listens at the moment.
func FreePort(t *testing.T) int {
	t.Helper()
	addr, err := freeport.Addr()
	if err != nil {
		t.Fatal(err)
	}
	return int(netip.MustParseAddrPort(addr).Port())
}
