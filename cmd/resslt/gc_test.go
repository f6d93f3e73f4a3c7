package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"resslt/cmd/internal/reclaim"
	"resslt/train"
)

// gcHome is a place of its own for everything that gc looks at.
type gcHome struct {
	t                 *testing.T
	dir               string
	tmp, cache, socks string
	busy              bool // a process is at work: the disk changes by itself
}

func newGCHome(t *testing.T) *gcHome {
	t.Helper()
	dir, err := os.MkdirTemp("", "gc") // short: a socket's name has 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	h := &gcHome{t: t, dir: dir, tmp: filepath.Join(dir, "tmp"), cache: filepath.Join(dir, "cache"), socks: filepath.Join(dir, "run", fmt.Sprintf("resslt-%d", os.Getuid()))}
	for _, d := range []string{h.tmp, h.cache, filepath.Join(dir, "runs")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(h.socks, 0o700); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *gcHome) path(parts ...string) string {
	return filepath.Join(append([]string{h.dir}, parts...)...)
}

// command prepares a program of ours at home.
func (h *gcHome) command(args ...string) *program {
	c := command(h.t, "resslt", args...)
	c.Dir = h.dir
	c.Env = append(c.Env, "TMPDIR="+h.tmp, "RESSLT_CACHE_DIR="+h.cache, "XDG_RUNTIME_DIR="+h.path("run"))
	return c
}

// gcSays is what `gc --json` prints.
type gcSays struct {
	DryRun bool           `json:"dry_run"`
	Bytes  int64          `json:"bytes"`
	Items  []reclaim.Item `json:"items"`
	Left   []reclaim.Left `json:"left"`
}

// gc runs it, first dry, and checks that what it says is what it does: a dry run changes nothing,
// and the disk has as much more room as the other says. It gives the items by kind.
func (h *gcHome) gc(args ...string) (gcSays, map[reclaim.Kind][]string) {
	h.t.Helper()
	args = append([]string{"gc", "--json", "--yes"}, args...)
	ask := func(args []string) (says gcSays) {
		h.t.Helper()
		o := h.command(args...).run()
		if o.code != 0 || json.Unmarshal([]byte(o.stdout), &says) != nil {
			h.t.Fatalf("%s: exit %d: %s%s", strings.Join(args, " "), o.code, o.stdout, o.stderr)
		}
		return says
	}
	h.settle()
	before := h.used()
	dry := ask(append(args, "--dry-run"))
	if now := h.used(); now != before && !h.busy {
		h.t.Errorf("a dry run leaves %d of %d bytes", now, before)
	}
	says := ask(args)
	if got := before - h.used(); !h.busy && got != says.Bytes || dry.Bytes != says.Bytes || !dry.DryRun || says.DryRun {
		h.t.Errorf("%s: it has freed %d bytes, says %d, and %d in a dry run", strings.Join(args, " "), got, says.Bytes, dry.Bytes)
	}
	kinds := map[reclaim.Kind][]string{}
	for _, i := range says.Items {
		if !strings.HasPrefix(i.Path, h.dir) && i.Kind == reclaim.Socket {
			continue // of the machine's /tmp
		}
		kinds[i.Kind] = append(kinds[i.Kind], i.Path)
		if _, err := os.Lstat(i.Path); !errors.Is(err, fs.ErrNotExist) {
			h.t.Errorf("%s is still there: %v", i.Path, err)
		}
	}
	return says, kinds
}

// settle has the file system allot blocks to what killed processes have written.
func (h *gcHome) settle() {
	h.t.Helper()
	_ = filepath.WalkDir(h.dir, func(path string, e fs.DirEntry, err error) error { // what cannot be opened has no blocks
		if err != nil || !e.Type().IsRegular() {
			return nil //nolint:nilerr // as above
		}
		if f, err := os.Open(path); err == nil {
			_ = f.Sync()
			f.Close()
		}
		return nil
	})
}

// used is what everything at home takes of the disk.
func (h *gcHome) used() (bytes int64) {
	h.t.Helper()
	err := filepath.WalkDir(h.dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := os.Lstat(path)
		if st, ok := info.Sys().(*syscall.Stat_t); ok && err == nil && !info.IsDir() {
			bytes += st.Blocks * 512
		}
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return bytes
}

// old has a file look as if nobody had touched it for long.
func (h *gcHome) old(paths ...string) {
	h.t.Helper()
	then := time.Now().Add(-3 * time.Hour)
	for _, p := range paths {
		if err := os.Chtimes(p, then, then); err != nil {
			h.t.Fatal(err)
		}
	}
}

// kill ends a process as the kernel does when memory is short.
func kill(t *testing.T, c *program) {
	t.Helper()
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait() // it was killed
}

// await waits for a file by a pattern.
func await(t *testing.T, c *program, pattern string) string {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		if found, err := filepath.Glob(pattern); err == nil && len(found) > 0 {
			return found[0]
		}
		if time.Now().After(deadline) {
			t.Fatalf("no %s: %s", pattern, &c.errs)
		}
	}
}

// awaitBytes waits for a file that something has been written to: by then its writer holds its
// lock, which it takes after it makes the file. A file that is only just made is safe by its age,
// which these tests take from it, and an empty one may be anybody's.
func awaitBytes(t *testing.T, c *program, pattern string) string {
	t.Helper()
	path := await(t, c, pattern)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		if info, err := os.Stat(path); err == nil && info.Size() > 0 {
			return path
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s stays empty: %s", path, &c.errs)
		}
	}
}

// want compares what went of each kind.
func want(t *testing.T, what string, got map[reclaim.Kind][]string, kinds map[reclaim.Kind]int) {
	t.Helper()
	for kind, n := range kinds {
		if len(got[kind]) != n {
			t.Errorf("%s: %d of kind %q went, want %d: %q", what, len(got[kind]), kind, n, got[kind])
		}
	}
	for kind, paths := range got {
		if kinds[kind] == 0 {
			t.Errorf("%s: of kind %q went %q", what, kind, paths)
		}
	}
}

// A run, a packing, a download and a server that live lose nothing, however old what they have
// looks; when they are killed, all that they leave goes.
func TestGCAfterKills(t *testing.T) {
	needTorch(t)
	needData(t)
	h := newGCHome(t)
	t.Run("run", func(t *testing.T) {
		h.t = t
		c := start(t, h.command(quick("runs/killed", "--set", "epochs=500", "--set", "checkpoint_every=2")...))
		afterSteps(t, h.path("runs", "killed"), 3)
		broker := await(t, c, filepath.Join(h.tmp, "resslt-broker-*"))
		h.old(broker, filepath.Join(broker, ".resslt-scratch"))
		h.busy = true
		_, kinds := h.gc("--keep-checkpoints", "0", "--earlier", "--parts")
		want(t, "alive", kinds, nil)
		kill(t, c)
		h.busy = false
		_, kinds = h.gc()
		delete(kinds, reclaim.HalfFile) // the kill may have come within a checkpoint
		want(t, "killed", kinds, map[reclaim.Kind]int{reclaim.Scratch: 1})
		sum := h.command(append(quick("runs/killed", "--set", "epochs=500"), "--resume", "--dry-run")...).run()
		if sum.code != 0 {
			t.Errorf("it cannot be resumed: %s", sum.stderr)
		}
	})
	t.Run("run that never began", func(t *testing.T) {
		h.t = t
		for range 20 { // the moment is short
			c := start(t, h.command(quick("runs/new")...))
			awaitBytes(t, c, h.path("runs", "new", ".lock"))
			kill(t, c)
			if entries, err := os.ReadDir(h.path("runs", "new")); err == nil && len(entries) == 1 {
				break
			}
			if err := os.RemoveAll(h.path("runs", "new")); err != nil {
				t.Fatal(err)
			}
		}
		_, kinds := h.gc()
		want(t, "killed", kinds, map[reclaim.Kind]int{reclaim.NeverBegun: 1})
	})
	t.Run("shards pack", func(t *testing.T) {
		h.t = t
		c := start(t, h.command("shards", "pack", "--data", "fashion-mnist:", "--out", "packed"))
		half := awaitBytes(t, c, h.path("packed", ".*.tar.resslt-tmp-*"))
		if err := c.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		h.old(half)
		h.busy = true
		_, kinds := h.gc("packed")
		want(t, "alive", kinds, nil)
		kill(t, c)
		h.busy = false
		now := time.Now()
		if err := os.Chtimes(half, now, now); err != nil {
			t.Fatal(err)
		}
		_, kinds = h.gc("packed")
		want(t, "young", kinds, nil)
		h.old(half)
		_, kinds = h.gc("packed")
		want(t, "killed", kinds, map[reclaim.Kind]int{reclaim.HalfFile: 1})
	})
	t.Run("serve", func(t *testing.T) {
		h.t = t
		c := h.command("serve", "--data", "fashion-mnist:"+smallData(), "--policy", "small", "--image-size", "28", "--listen", "unix:"+filepath.Join(h.socks, "a.sock"))
		start(t, c)
		socket := await(t, c, filepath.Join(h.socks, "a.sock"))
		await(t, c, filepath.Join(h.tmp, "resslt-broker-*", ".resslt-scratch"))
		h.old(socket)
		h.busy = true
		_, kinds := h.gc()
		want(t, "alive", kinds, nil)
		kill(t, c)
		h.busy = false
		_, kinds = h.gc()
		want(t, "killed", kinds, map[reclaim.Kind]int{reclaim.Socket: 1, reclaim.Scratch: 1})
	})
}

// TestGCDownload: a remote shard that is being fetched stays, and so does one in use; what a killed
// process has fetched of one goes.
func TestGCDownload(t *testing.T) {
	h := newGCHome(t)
	if o := h.command("shards", "pack", "--data", badPictures(t), "--out", "made", "--prefix", "s", "--cache-dir", h.path("other")).run(); o.code != 0 {
		t.Skip(o.stderr)
	}
	shard := h.path("made", "s-000000.tar")
	whole, err := os.ReadFile(shard)
	if err != nil {
		t.Fatal(err)
	}
	hold := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/s-000000.tar" {
			http.NotFound(w, r)
			return
		}
		http.ServeContent(&halting{ResponseWriter: w, half: len(whole) / 2, hold: hold, gone: r.Context().Done()}, r, "", time.Unix(1, 0), bytes.NewReader(whole))
	}))
	defer server.Close()
	fetch := func() *program {
		return start(t, h.command("shards", "ls", "--data", "wds:"+server.URL+"/s-000000.tar", "--samples", "1"))
	}
	c := fetch()
	part := awaitBytes(t, c, filepath.Join(h.cache, "*", "*.part"))
	h.old(part)
	h.busy = true
	_, kinds := h.gc("--keep-cache", "0")
	want(t, "alive", kinds, nil)
	kill(t, c)
	h.busy = false
	_, kinds = h.gc("--keep-cache", "0", "--older", "10d")
	want(t, "killed", kinds, map[reclaim.Kind]int{reclaim.Download: 1})

	close(hold)
	if o := fetch().end(); o.code != 0 {
		t.Fatalf("exit %d: %s", o.code, o.stderr)
	}
	says, kinds := h.gc("--keep-cache", "0", "--older", "1h")
	want(t, "in use", kinds, nil)
	shards, _ := filepath.Glob(filepath.Join(h.cache, "??", "*"))
	indexes, _ := filepath.Glob(filepath.Join(h.cache, "*.idx"))
	if len(shards) != 1 || len(indexes) == 0 {
		t.Fatalf("cached are %q and %q", shards, indexes)
	}
	h.old(append(shards, indexes...)...)
	if says, _ = h.gc(); len(says.Items) != 0 || len(says.Left) != 2 {
		t.Errorf("without a policy: %+v", says)
	}
	_, kinds = h.gc("--keep-cache", fmt.Sprint(len(whole)/2))
	want(t, "half of it", kinds, map[reclaim.Kind]int{reclaim.Shard: 1})
	_, kinds = h.gc("--keep-cache", "0")
	want(t, "all of it", kinds, map[reclaim.Kind]int{reclaim.Index: len(indexes)})
}

// halting sends half of a file, and waits with the rest until hold is closed or the client has gone.
type halting struct {
	http.ResponseWriter
	half, sent int
	hold       <-chan struct{}
	gone       <-chan struct{}
}

func (w *halting) Write(p []byte) (int, error) {
	done := 0
	for len(p) > 0 {
		part := p
		if w.sent < w.half {
			part = p[:min(len(p), w.half-w.sent)]
		} else {
			w.ResponseWriter.(http.Flusher).Flush() //nolint:forcetypeassert // a server's is one
			select {
			case <-w.hold:
			case <-w.gone:
				return done, io.ErrClosedPipe
			}
		}
		n, err := w.ResponseWriter.Write(part)
		w.sent, done, p = w.sent+n, done+n, p[n:]
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// Old checkpoints and runs go by policy, and what is needed to go on stays.
func TestGCRuns(t *testing.T) {
	needTorch(t)
	needData(t)
	h := newGCHome(t)
	many := []string{"--set", "checkpoint_every=4", "--set", "keep_checkpoints=9"}
	run := func(more ...string) train.Summary {
		t.Helper()
		o := h.command(append(quick("runs/a", many...), more...)...).run()
		if o.code != 0 {
			t.Fatalf("exit %d: %s", o.code, o.stderr)
		}
		return printed(t, o)
	}
	whole := run() // of 20 steps
	checkpoints := func() (names []string) {
		found, _ := filepath.Glob(h.path("runs", "a", "checkpoints", "step-*.json"))
		for _, f := range found {
			names = append(names, strings.TrimSuffix(filepath.Base(f), ".json"))
		}
		return names
	}
	if n := len(checkpoints()); n != 5 {
		t.Fatalf("%d checkpoints", n)
	}
	// The newest is damaged: it counts for none, and stays.
	damaged := h.path("runs", "a", "checkpoints", "step-00000020.safetensors")
	raw, err := os.ReadFile(damaged)
	if err != nil {
		t.Fatal(err)
	}
	write(t, damaged, append(slices.Clone(raw[:len(raw)-1]), raw[len(raw)-1]^1))
	_, kinds := h.gc("--keep-checkpoints", "2")
	want(t, "one damaged", kinds, map[reclaim.Kind]int{reclaim.Checkpoint: 2})
	if got := strings.Join(checkpoints(), " "); got != "step-00000012 step-00000016 step-00000020" {
		t.Errorf("%s stay", got)
	}
	write(t, damaged, raw)

	// What a kill leaves of a checkpoint: its tensors without the JSON.
	write(t, h.path("runs", "a", "checkpoints", "step-00000030.safetensors"), raw)
	_, kinds = h.gc()
	want(t, "half a checkpoint", kinds, map[reclaim.Kind]int{reclaim.HalfFile: 1})

	if _, kinds = h.gc("--keep-checkpoints", "1", "--older", "1d"); len(kinds) != 0 {
		t.Errorf("young ones go: %q", kinds)
	}
	_, kinds = h.gc("--keep-checkpoints", "1")
	want(t, "one stays", kinds, map[reclaim.Kind]int{reclaim.Checkpoint: 2})
	sameWeights(t, "resumed", run("--resume"), whole)
	if err := os.Remove(h.path("runs", "a", "summary.json")); err != nil {
		t.Fatal(err)
	}
	if _, kinds = h.gc("--keep-checkpoints", "0"); len(checkpoints()) != 1 {
		t.Errorf("of a run that has not ended go %q", kinds)
	}
	run("--resume")
	if h.gc("--keep-checkpoints", "0"); len(checkpoints()) != 0 {
		t.Errorf("of an ended one stay %q", checkpoints())
	}

	// A second run sets the first aside; with a file of somebody else that stays.
	run()
	run()
	mine := h.path("runs", "a", "previous-2", "mine.txt")
	write(t, mine, []byte("x"))
	says, kinds := h.gc()
	if len(kinds) != 0 || !slices.ContainsFunc(says.Left, func(l reclaim.Left) bool { return l.Kind == reclaim.Earlier && l.Items == 1 && l.Flag == "--earlier" }) {
		t.Errorf("without a policy: %+v", says)
	}
	_, kinds = h.gc("--earlier")
	want(t, "earlier", kinds, map[reclaim.Kind]int{reclaim.Earlier: 1})
	if !exists(mine) || !exists(h.path("runs", "a", "summary.json")) {
		t.Error("more than the earlier run is gone")
	}
	if o := h.command("gc", "--keep-checkpoints", "0").run(); o.code != 2 || !strings.Contains(o.stderr, "--yes") {
		t.Errorf("unasked: exit %d: %s", o.code, o.stderr)
	}
}

// TestGCParts: what a stopped embed would go on from goes when it is asked for, and not while one is
// at work.
func TestGCParts(t *testing.T) {
	needTorch(t)
	needData(t)
	h := newGCHome(t)
	embed := func() *program {
		return h.command("embed", "--checkpoint", filepath.Join(finished(t), "encoder.safetensors"), "--data", "fashion-mnist:", "--out", "runs/f.npz")
	}
	c := start(t, embed())
	await(t, c, h.path("runs", "f.npz.parts", "part-*.arrow"))
	h.busy = true
	_, kinds := h.gc("--parts")
	want(t, "alive", kinds, nil)
	if o := embed().run(); o.code != 2 || !strings.Contains(o.stderr, "another run is writing there") {
		t.Errorf("a second: exit %d: %s", o.code, o.stderr)
	}
	kill(t, c)
	h.busy = false
	_, kinds = h.gc()
	want(t, "without a policy", kinds, nil)
	_, kinds = h.gc("--parts")
	want(t, "killed", kinds, map[reclaim.Kind]int{reclaim.Parts: 1})
}

// What only looks like ours stays, whatever is asked for.
func TestGCForeign(t *testing.T) {
	h := newGCHome(t)
	hex := strings.Repeat("0123456789abcdef", 2)
	files := []string{
		"runs/x/.lock", "runs/y/.lock", "runs/y/.lock2", "runs/x.parts/plan.json/a", "runs/z.parts/plan.json", "runs/z.parts/notes.txt",
		"runs/.a.tmp-123", "runs/.a.resslt-tmp-", "runs/.a.resslt-tmp-12x", "runs/a.resslt-tmp-12",
		"runs/previous-1/summary.json", "runs/r/checkpoints/step-00000001.json",
		"cache/folder-0123456789abcdef01234567.idx", "cache/other.idx", "cache/" + hex[:2] + "/" + hex + ".other", "cache/ff/" + hex, "cache/" + hex[:2] + "/note",
		"cache/.x.idx.tmp-1", "tmp/resslt-broker-1/a", "tmp/resslt-serve-1/.resslt-scratch", "run/other/a.sock",
	}
	for _, f := range files {
		if err := os.MkdirAll(filepath.Dir(h.path(f)), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, h.path(f), nil)
		h.old(h.path(f))
	}
	if err := os.Symlink(h.path("runs", "x"), h.path("runs", "link")); err != nil {
		t.Fatal(err)
	}
	says, _ := h.gc("--keep-cache", "0", "--keep-checkpoints", "0", "--earlier", "--parts")
	if len(says.Items) > 0 {
		t.Errorf("it removes %+v", says.Items)
	}
	for _, f := range files {
		if !exists(h.path(f)) {
			t.Errorf("%s is gone", f)
		}
	}
}
