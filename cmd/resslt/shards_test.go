package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"resslt/schemas/errs"
)

// shardsVerb runs `resslt shards args…` in this process.
func shardsVerb(t *testing.T, args ...string) (string, error) {
	t.Helper()
	c := newShardsCommand()
	var out bytes.Buffer
	c.SetOut(&out)
	c.SetErr(&out)
	c.SetArgs(args)
	c.SilenceUsage, c.SilenceErrors = true, true
	err := c.ExecuteContext(t.Context())
	return out.String(), err
}

// lastJSON is the object on the last line of out.
func lastJSON(t *testing.T, out string, v any) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), v); err != nil {
		t.Fatalf("last line is no JSON: %v\n%s", err, out)
	}
}

func TestShardsVerbs(t *testing.T) {
	dir, cache := t.TempDir(), t.TempDir()
	for _, name := range []string{"cat/1.jpg", "cat/2.jpg", "dog/3.jpg"} {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, append([]byte{0xff, 0xd8, 0xff}, name...), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	out := filepath.Join(t.TempDir(), "shards")
	run := func(args ...string) string {
		t.Helper()
		s, err := shardsVerb(t, append(args, "--cache", cache, "--json")...)
		if err != nil {
			t.Fatalf("shards %v: %v\n%s", args, err, s)
		}
		return s
	}

	var index, pack, ls shardsSummary
	lastJSON(t, run("index", "--data", "folder:"+dir), &index)
	if index.Samples != 3 || strings.Join(index.Classes, " ") != "cat dog" || len(index.Digest) != 64 {
		t.Errorf("index says %+v", index)
	}
	text := run("pack", "--data", "folder:"+dir, "--out", out, "--shard-size", "3kB")
	lastJSON(t, text, &pack)
	if pack.Samples != 3 || pack.Shards < 2 || !strings.Contains(text, "wds:"+filepath.Join(out, "train-*.tar")) {
		t.Errorf("pack says %s", text)
	}
	text = run("ls", "--data", "wds:"+out, "--samples", "2")
	lastJSON(t, text, &ls)
	if ls.Digest != pack.Digest || len(ls.List) != pack.Shards || len(ls.First) != 2 || ls.First[0].Label != 0 || !strings.Contains(text, "0 cat") {
		t.Errorf("ls says %s", text)
	}
	run("index", "--data", "wds:"+out, "--manifest", filepath.Join(out, "train.manifest.json"))
	var byManifest shardsSummary
	lastJSON(t, run("ls", "--data", "wds:"+filepath.Join(out, "train.manifest.json")), &byManifest)
	if byManifest.Digest != pack.Digest {
		t.Errorf("opened by its manifest: digest %s, want %s", byManifest.Digest, pack.Digest)
	}
	if text = run("verify", "--data", "wds:"+out); !strings.Contains(text, " 0 damaged") {
		t.Errorf("verify says %s", text)
	}

	shards, err := filepath.Glob(filepath.Join(out, "*.tar"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range shards {
		b, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		b[512+3] ^= 1
		if err := os.WriteFile(p, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err = shardsVerb(t, "verify", "--data", "wds:"+out, "--cache", cache)
	if !errors.Is(err, errs.ErrCorrupt) || strings.Count(text, "damaged  train-") != len(shards) {
		t.Errorf("verify of damaged shards: %v\n%s", err, text)
	}
}

func TestShardsWrongUse(t *testing.T) {
	for _, args := range [][]string{
		{"ls"},
		{"index", "--data", "nonsense"},
		{"ls", "--data", "folder:x", "--samples", "-1"},
		{"ls", "--data", "folder:x", "--split", "x"},
		{"pack", "--data", "folder:x"},
		{"pack", "--data", "folder:x", "--out", "y", "--shard-size", "-3"},
	} {
		if out, err := shardsVerb(t, args...); !errors.Is(err, errs.ErrUsage) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}
}

func TestHumanBytes(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1000: "1 kB", 47_100_024: "47.1 MB", 999_999: "1 MB", 256e6: "256 MB"} {
		if got := humanBytes(n); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
}

// --split names folders, chooses among splits, and settles what cannot be guessed.
func TestShardsSplits(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"bus/1.jpg", "train/2.jpg", "train/3.jpg", "A/cat/4.jpg", "A/dog/5.jpg", "A/dog/6.jpg", "A/dog/7.jpg", "B/cat/8.jpg"} {
		write(t, filepath.Join(dir, name), []byte(name))
	}
	for _, c := range []struct {
		args, split, classes string
		samples              int64
	}{
		{"--split train=.", "train", "A B bus train", 8},
		{"--split train=A", "train", "cat dog", 4},
		{"--split test=B --split train=A", "train", "cat dog", 4},
		{"--split test=B --split train=A --split test", "test", "cat dog", 1},
		{"--split test=B", "test", "cat", 1},
		{"--split valid=A", "val", "cat dog", 4},
	} {
		out, err := shardsVerb(t, append([]string{"index", "--data", "folder:" + dir, "--cache", t.TempDir(), "--json"}, strings.Fields(c.args)...)...)
		if err != nil {
			t.Errorf("%s: %v", c.args, err)
			continue
		}
		var got shardsSummary
		lastJSON(t, out, &got)
		if got.Split != c.split || got.Samples != c.samples || strings.Join(got.Classes, " ") != c.classes {
			t.Errorf("%s: split %s, %d samples of %v", c.args, got.Split, got.Samples, got.Classes)
		}
	}
	for args, want := range map[string]string{
		"":                                "--split train=.",
		"--split train=C":                 "C: not found",
		"--split train=A --split test=A":  "holds A",
		"--split everything=A":            "a folder has no split",
		"--split train=A --data cifar10:": "is no folder of images",
	} {
		out, err := shardsVerb(t, append([]string{"index", "--data", "folder:" + dir, "--cache", t.TempDir()}, strings.Fields(args)...)...)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s\n%s", args, err, want, out)
		}
	}
}
