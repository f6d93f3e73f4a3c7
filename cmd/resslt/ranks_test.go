package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"resslt/train"
	"resslt/train/torch"
)

// needGloo skips where the shim cannot have processes of CPUs train together.
func needGloo(t *testing.T) {
	t.Helper()
	needTorch(t)
	if have, err := torch.Backends(); err != nil {
		t.Fatal(err)
	} else if !slices.Contains(have, "gloo") {
		t.Skip("the shim was built without gloo (libgloo-dev, then `make shim`)")
	}
}

// startRanks starts two processes with the bare variables, and the same arguments.
func startRanks(t *testing.T, args ...string) []*program {
	t.Helper()
	return startUnlike(t, args, args)
}

// startUnlike starts a process for each list of arguments.
func startUnlike(t *testing.T, args ...[]string) []*program {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	var all []*program
	for i := range args {
		r := command(t, "resslt", args[i]...)
		r.Env = append(r.Env, "MASTER_ADDR=127.0.0.1", fmt.Sprint("MASTER_PORT=", port), fmt.Sprint("WORLD_SIZE=", len(args)), fmt.Sprint("RANK=", i))
		start(t, r)
		all = append(all, r)
	}
	return all
}

// together runs two ranks to their end and gives the summary, which is rank 0's to print.
func together(t *testing.T, args ...string) train.Summary {
	t.Helper()
	all := startRanks(t, args...)
	first, second := all[0].end(), all[1].end()
	if first.code != 0 || second.code != 0 {
		t.Fatalf("rank 0: exit %d\n%s\nrank 1: exit %d\n%s", first.code, first.stderr, second.code, second.stderr)
	}
	if second.stdout != "" {
		t.Errorf("rank 1 printed %q", second.stdout)
	}
	s := printed(t, first)
	if s.WorldSize != 2 {
		t.Errorf("world_size is %d", s.WorldSize)
	}
	return s
}

// TestRanks: two processes come to one model, by whatever way the batches come and the
// processes are started, and after an interrupt or the death of one.
func TestRanks(t *testing.T) {
	needGloo(t)
	needData(t)
	recipe := []string{"--recipe", "smoke", "--data", "fashion-mnist:" + smallData(), "--json", "--set", "eval=[none]", "--set", "epochs=2", "--set", "log_every=1", "--set", "checkpoint_every=7", "--set", "threads=1"}
	pixels := t.TempDir()
	alone := summaryOf(t, slices.Concat([]string{"run", "--out", pixels, "--record", "pixels"}, recipe)...)
	replay := func(out string, more ...string) []string {
		return slices.Concat([]string{"train", "--replay", "pixels:" + pixels, "--out", out}, recipe, more)
	}
	whole := together(t, replay(t.TempDir())...)
	if alone.WorldSize != 1 || alone.StudentSHA256 == whole.StudentSHA256 {
		t.Errorf("a process by itself, world_size %d, has the very bits of two: %s", alone.WorldSize, alone.StudentSHA256)
	}

	t.Run("farm", func(t *testing.T) {
		url := natsServer(t)
		start(t, command(t, "augmentd", "--nats", url, "--workers", "2"))
		dir := t.TempDir()
		sameWeights(t, "of the farm's batches", together(t, slices.Concat([]string{"train", "--nats", url, "--run", "two", "--out", dir}, recipe)...), whole)
		if o := resslt(t, "record", "verify", dir); o.code != 0 {
			t.Errorf("the record of two ranks: exit %d: %s", o.code, o.stderr)
		}
	})
	t.Run("torchrun", func(t *testing.T) {
		const python = "/usr/bin/python3" // Debian's torch is no other's
		if err := exec.Command(python, "-c", "import torch.distributed.run").Run(); err != nil {
			t.Skip("python3-torch is not installed")
		}
		launch := []string{"-m", "torch.distributed.run", "--no_python", "--nproc_per_node=2", "--redirects=1", "--tee=1", "--log_dir=" + t.TempDir(), // its default does not work with Python 3.11
			"--rdzv_backend=c10d", "--rdzv_endpoint=127.0.0.1:0", filepath.Join(bin, "resslt")}
		dir := t.TempDir()
		c := command(t, "", append(launch, replay(dir)...)...)
		c.Path, c.Args[0] = python, python
		o := c.run()
		if o.code != 0 {
			t.Fatalf("exit %d\n%s", o.code, o.stderr)
		}
		s, err := train.ReadSummary(filepath.Join(dir, "summary.json"))
		if err != nil {
			t.Fatal(err)
		}
		sameWeights(t, "by torchrun", s, whole)
	})
	t.Run("interrupt", func(t *testing.T) {
		dir := t.TempDir()
		all := startRanks(t, replay(dir)...)
		afterSteps(t, dir, 4)
		if err := all[1].Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		for i, r := range all {
			o := r.end()
			last := strings.TrimSpace(o.stderr)[strings.LastIndexByte(strings.TrimSpace(o.stderr), '\n')+1:]
			if o.code != 130 || !strings.Contains(last, "checkpoint written") {
				t.Errorf("rank %d: exit %d: %s", i, o.code, last)
			}
		}
		sameWeights(t, "interrupted and resumed", together(t, replay(dir, "--resume")...), whole)
		// What is left is the evaluation, which asks for no other rank.
		again := summaryOf(t, replay(dir, "--resume")...)
		sameWeights(t, "evaluated again", again, whole)
		if again.WorldSize != 2 {
			t.Errorf("evaluated by one, world_size is %d", again.WorldSize)
		}
	})
	t.Run("kill", func(t *testing.T) {
		dir := t.TempDir()
		args := replay(dir, "--set", "checkpoint_every=5", "--group-timeout", "20s")
		all := startRanks(t, args...)
		afterSteps(t, dir, 11) // two checkpoints
		if err := all[1].Process.Kill(); err != nil {
			t.Fatal(err)
		}
		killed := time.Now()
		all[1].end()
		o := all[0].end()
		last := strings.TrimSpace(o.stderr)[strings.LastIndexByte(strings.TrimSpace(o.stderr), '\n')+1:]
		if took := time.Since(killed); o.code != 1 || took > 30*time.Second || !strings.Contains(last, "other rank ended") {
			t.Errorf("rank 0 after %v: exit %d: %s", took, o.code, last)
		}
		// The newest checkpoint is damaged, which every rank finds for itself.
		files, err := filepath.Glob(filepath.Join(train.CheckpointDir(dir), "step-*.safetensors"))
		if err != nil || len(files) < 2 {
			t.Fatalf("checkpoints %v, %v", files, err)
		}
		if err := os.Truncate(files[len(files)-1], 100); err != nil {
			t.Fatal(err)
		}
		all = startRanks(t, append(args, "--resume")...)
		for i, begins := range []string{"passing over: ", "rank 1: passing over: "} {
			r := all[i].end()
			if r.code != 0 || !strings.HasPrefix(r.stderr, begins) {
				t.Errorf("rank %d: exit %d: %s", i, r.code, r.stderr)
			}
			if i == 0 {
				sameWeights(t, "killed, damaged and resumed", printed(t, r), whole)
			} else if strings.Count(r.stderr, "\n") != 1 {
				t.Errorf("rank 1 says more than what is wrong: %s", r.stderr)
			}
		}
	})
	t.Run("unlike", func(t *testing.T) {
		dir := t.TempDir()
		for i, r := range startUnlike(t, replay(dir), replay(dir, "--set", "base_lr=0.01")) {
			if o := r.end(); o.code != 1 || !strings.Contains(o.stderr, "rank 1 has another recipe") {
				t.Errorf("rank %d: exit %d: %s", i, o.code, o.stderr)
			}
		}
	})
}

// TestRankMissing: who waits for a rank that does not come, can be stopped, and is told
// by the files where there is nothing left to train.
func TestRankMissing(t *testing.T) {
	needGloo(t)
	needData(t)
	recipe := []string{"--recipe", "smoke", "--data", "fashion-mnist:" + smallData(), "--set", "eval=[none]", "--set", "threads=1"}
	dir := t.TempDir()
	summaryOf(t, slices.Concat([]string{"run", "--json", "--out", dir, "--record", "pixels"}, recipe)...)
	l, err := net.Listen("tcp", "127.0.0.1:0") // rank 0, which says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	waiting := func(out string, more ...string) *program {
		t.Helper()
		r := command(t, "resslt", slices.Concat([]string{"train", "--replay", "pixels:" + dir, "--out", out}, recipe, more)...)
		r.Env = append(r.Env, "MASTER_ADDR=127.0.0.1", fmt.Sprint("MASTER_PORT=", l.Addr().(*net.TCPAddr).Port), "WORLD_SIZE=2", "RANK=1")
		start(t, r)
		if err := l.(*net.TCPListener).SetDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		c, err := l.Accept()
		if err != nil {
			t.Fatalf("rank 1 does not call: %v: %s", err, r.errs.String())
		}
		t.Cleanup(func() { c.Close() })
		return r
	}
	r := waiting(t.TempDir())
	if err := r.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	stopped := time.Now()
	if o := r.end(); o.code != 130 || time.Since(stopped) > 5*time.Second || !strings.Contains(o.stderr, "rank 1 of 2 was waiting for the others") {
		t.Errorf("after %v: exit %d: %s", time.Since(stopped), o.code, o.stderr)
	}

	// The last checkpoint comes to be seen late.
	last, err := filepath.Glob(filepath.Join(train.CheckpointDir(dir), "step-*.json"))
	if err != nil || len(last) < 2 {
		t.Fatalf("checkpoints %v, %v", last, err)
	}
	hidden := filepath.Join(dir, "last")
	if err := os.Rename(last[len(last)-1], hidden); err != nil {
		t.Fatal(err)
	}
	r = waiting(dir, "--resume")
	if err := os.Rename(hidden, last[len(last)-1]); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if o := r.end(); o.code != 0 || time.Since(began) > 20*time.Second {
		t.Errorf("after %v: exit %d: %s", time.Since(began), o.code, o.stderr)
	}
}

// TestRanksRefused: what cannot be is said in one line that names it.
func TestRanksRefused(t *testing.T) {
	t.Parallel()
	needGloo(t)
	needData(t)
	for _, c := range []struct {
		env  string
		args []string
		says string
	}{
		{"WORLD_SIZE=2 RANK=0 MASTER_ADDR=127.0.0.1", quick(t.TempDir()), "resslt train"},
		{"WORLD_SIZE=2 MASTER_ADDR=127.0.0.1", []string{"train", "--recipe", "smoke"}, "RANK"},
		{"WORLD_SIZE=2 RANK=0", []string{"train", "--recipe", "smoke"}, "MASTER_ADDR"},
		{"WORLD_SIZE=2 RANK=1 MASTER_ADDR=127.0.0.1", []string{"sweep", "--file", "smoke"}, "resslt sweep"},
		{"SLURM_NTASKS=2 SLURM_PROCID=0 MASTER_ADDR=127.0.0.1", []string{"sweep", "--file", "smoke"}, "resslt sweep"},
	} {
		p := command(t, "resslt", c.args...)
		p.Env = append(p.Env, strings.Fields(c.env)...)
		o := p.run()
		if o.code != 2 || !strings.Contains(o.stderr, c.says) || strings.Count(strings.TrimSpace(o.stderr), "\n") != 0 {
			t.Errorf("%s: exit %d: %s", c.env, o.code, o.stderr)
		}
	}
}
