package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"resslt/batcher/broker"
	"resslt/batcher/runs"
	"resslt/schemas/errs"
)

// previous is the commit whose programs meet this tree's: the state before runs had bounds and
// heartbeats a stream of their own. The rule that they are held to is in batcher's doc. A
// release moves it to the release before.
const previous = "93d1ac3eb19a"

var earlier = struct {
	sync.Once
	dir, skip string
	err       error
}{}

// ofPrevious has a program be the previous state's, which is built once.
func ofPrevious(t *testing.T, p *program) *program {
	t.Helper()
	if testing.Short() {
		t.Skip("builds an earlier commit")
	}
	earlier.Do(func() { earlier.dir, earlier.skip, earlier.err = buildPrevious(t) })
	switch {
	case earlier.skip != "":
		t.Skip(earlier.skip)
	case earlier.err != nil:
		t.Fatal(earlier.err)
	}
	p.Path = filepath.Join(earlier.dir, filepath.Base(p.Path))
	p.Args[0] = p.Path
	if lib := filepath.Join(earlier.dir, filepath.Base(shim())); exists(lib) {
		p.Env = append(p.Env, "RESSLT_TORCH="+lib)
	}
	return p
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// buildPrevious builds the earlier commit, and its shim where that is another; or says why it
// cannot. The programs stay in the tree's bin folder for the next time.
func buildPrevious(t *testing.T) (dir, skip string, err error) {
	git := func(args ...string) ([]byte, error) {
		return exec.CommandContext(t.Context(), "git", append([]string{"-C", "../.."}, args...)...).Output()
	}
	if dir, err = filepath.Abs(filepath.Join("../../bin/previous", previous)); err != nil || exists(dir) {
		return dir, "", err
	}
	if _, err := git("cat-file", "-e", previous+"^{commit}"); err != nil {
		return "", "commit " + previous + " is not in this clone (git fetch --unshallow)", nil //nolint:nilerr // a reason to skip
	}
	tree, err := git("archive", previous)
	if err != nil {
		return "", "", err
	}
	src := filepath.Join(made, "previous")
	if err := os.Mkdir(src, 0o755); err != nil {
		return "", "", err
	}
	unpack := exec.CommandContext(t.Context(), "tar", "-x", "-C", src)
	unpack.Stdin = bytes.NewReader(tree)
	build := exec.CommandContext(t.Context(), "go", "build", "-ldflags=-s -w", "-o", "bin/", "./cmd/resslt", "./cmd/augmentd")
	build.Dir = src
	steps := []*exec.Cmd{unpack, build}
	if _, err := git("diff", "--quiet", previous, "--", "train/torch/csrc"); err != nil {
		steps = append(steps, exec.CommandContext(t.Context(), "make", "-s", "-C", src, "bin/"+filepath.Base(shim())))
	}
	for _, c := range steps {
		if out, err := c.CombinedOutput(); err != nil {
			return "", "", errs.New("build", previous, strings.Join(c.Args, " "), errs.Because(errs.ErrUnavailable, string(out)))
		}
	}
	// Under its name when it is whole. Beside its place: the two may be of different disks.
	if err := os.CopyFS(dir+".new", os.DirFS(filepath.Join(src, "bin"))); err != nil {
		return "", "", err
	}
	return dir, "", os.Rename(dir+".new", dir)
}

// TestBuildsMeet: workers and trainers of two builds share a farm, and what the earlier one
// recorded or left behind the later one replays and continues: equal weights. The way back is
// refused before anything is made.
func TestBuildsMeet(t *testing.T) {
	needTorch(t)
	needData(t)
	whole := undisturbed(t)
	url := natsServer(t)
	session := func(run, out string, more ...string) []string {
		return append(append([]string{"train", "--nats", url, "--run", run, "--lease", "1s"}, quick(out)[1:]...), more...)
	}
	older, newer := t.TempDir(), t.TempDir()

	old := start(t, ofPrevious(t, command(t, "augmentd", "--nats", url, "--workers", "1")))
	t.Run("trainer of this build, worker of the earlier", func(t *testing.T) {
		sameWeights(t, "weights", summaryOf(t, session("newer", newer)...), whole)
	})
	t.Run("run of the earlier build goes on in this", func(t *testing.T) {
		dir := t.TempDir()
		p := start(t, ofPrevious(t, command(t, "resslt", session("goes-on", dir)...)))
		afterSteps(t, dir, 7)
		if err := p.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if o := p.end(); o.code != 130 {
			t.Fatalf("exit %d: %s", o.code, o.stderr)
		}
		sameWeights(t, "resumed", summaryOf(t, session("goes-on", dir, "--resume")...), whole)
	})
	if err := old.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	start(t, command(t, "augmentd", "--nats", url, "--workers", "1"))
	t.Run("trainer of the earlier build, worker of this", func(t *testing.T) {
		o := ofPrevious(t, command(t, "resslt", session("older", older, "--record", "pixels")...)).run()
		if o.code != 0 {
			t.Fatalf("exit %d: %s", o.code, o.stderr)
		}
		sameWeights(t, "weights", printed(t, o), whole)
	})
	t.Run("record of the earlier build", func(t *testing.T) {
		for _, kind := range []string{"pixels:", "log:"} {
			sameWeights(t, kind, summaryOf(t, "train", "--replay", kind+older, "--json", "--out", t.TempDir()), whole)
		}
		if o := resslt(t, "record", "verify", older); o.code != 0 {
			t.Errorf("verify: exit %d: %s%s", o.code, o.stdout, o.stderr)
		}
	})
	t.Run("the way back", func(t *testing.T) {
		nc, js, err := broker.Connect(t.Context(), broker.ConnectOptions{URL: url})
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		// It has ended, and sleeps: so the earlier build could open it. Awake, it is refused.
		run, err := runs.Lookup(t.Context(), js, "newer")
		if err == nil {
			err = run.Ensure(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		before := streamsOf(t, js)
		o := ofPrevious(t, command(t, "resslt", session("newer", t.TempDir())...)).run()
		if o.code == 0 || !strings.Contains(o.stderr, "newer") || !strings.Contains(o.stderr, "overlap") {
			t.Errorf("exit %d: %s", o.code, o.stderr)
		}
		if after := streamsOf(t, js); after != before {
			t.Errorf("it has made %s of %s", after, before)
		}
	})
}

// streamsOf lists a broker's streams, in one text.
func streamsOf(t *testing.T, js jetstream.JetStream) string {
	t.Helper()
	var names []string
	lister := js.StreamNames(t.Context())
	for name := range lister.Name() {
		names = append(names, name)
	}
	if len(names) == 0 {
		t.Fatal("the broker has no streams", lister.Err())
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}
