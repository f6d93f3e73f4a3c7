package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"resslt/cmd/internal/cli"
	"resslt/train"
)

// outputs are the places that verbs write to, below a folder, and how a verb is told. What it
// reads is not there: it must not get as far as that.
var outputs = map[string]struct {
	args   func(dir string) []string
	places []string
}{
	"run": {
		func(dir string) []string {
			return []string{"run", "--recipe", "smoke", "--data", "folder:/none", "--out", dir}
		},
		[]string{
			"summary.json", "encoder.safetensors", "metrics.jsonl", "recipe.yaml", "dataset.json", "replaced.json", "report.html", "eval.json",
			"knn.jsonl", "linear.jsonl", "audit-refused.txt", "checkpoints/", "record/", "tb/", "neighbours/", "track/", "wandb/",
		},
	},
	"train": {
		func(dir string) []string {
			return []string{"train", "--nats", "nats://127.0.0.1:1", "--recipe", "smoke", "--data", "folder:/none", "--out", dir}
		},
		[]string{"encoder.safetensors", "checkpoints/"},
	},
	"sweep": {
		func(dir string) []string {
			return []string{"sweep", "--recipe", "smoke", "--grid", "K=128,256", "--data", "fashion-mnist:" + smallData(), "--out", dir}
		},
		[]string{"sweep.csv", "cells/r1-c1_128/train.log", "cells/r1-c1_128/encoder.safetensors"},
	},
	"export": {
		func(dir string) []string { return []string{"export", "--checkpoint", "/none", "--out", dir + "/e"} },
		[]string{"e"},
	},
	"embed": {
		func(dir string) []string {
			return []string{"embed", "--checkpoint", "/none", "--data", "folder:/none", "--out", dir + "/e"}
		},
		[]string{"e", "e.parts/", "e.parts/plan.json", "e.parts/part-00000000.arrow", "e.parts/skipped-00000000.txt"},
	},
	"eval tsne": {
		func(dir string) []string {
			return []string{"eval", "tsne", "--checkpoint", "/none", "--data", "folder:/none", "--out", dir + "/o", "--cache", dir + "/cache"}
		},
		[]string{"o/", "o/eval.json", "o/tsne.png", "o/tsne.html", "cache/"},
	},
	"eval neighbours": {
		func(dir string) []string {
			return []string{"eval", "neighbours", "--checkpoint", "/none", "--data", "folder:/none", "--out", dir}
		},
		[]string{"neighbours.png"},
	},
	"eval of features": {
		func(dir string) []string { return []string{"eval", "knn", "--features", "/none", "--out", dir} },
		[]string{"eval.json"},
	},
	"inspect": {
		func(dir string) []string {
			return []string{"inspect", "--data", "folder:/none", "--out", dir + "/x.png"}
		},
		[]string{"x.png"},
	},
	"convert": {
		func(dir string) []string {
			return []string{"convert", "outputs_test.go", dir + "/e.safetensors"}
		},
		[]string{"e.safetensors"},
	},
	"shards index": {
		func(dir string) []string {
			return []string{"shards", "index", "--data", "folder:/none", "--manifest", dir + "/x.manifest.json"}
		},
		[]string{"x.manifest.json", "x.index"},
	},
	"shards pack": {
		func(dir string) []string {
			return []string{"shards", "pack", "--data", "folder:/none", "--out", dir + "/o", "--prefix", "p"}
		},
		[]string{"o/"},
	},
	"record export": {
		func(dir string) []string { return []string{"record", "export", "/none", "--out", dir + "/o"} },
		[]string{"o/", "o/pixels-000000.arrow", "o/pixels-000000.arrow.open", "o/dataset.json"},
	},
}

// kinds put something in a place that is no regular file.
var kinds = map[string]func(path string) error{
	"a named pipe": func(path string) error { return syscall.Mkfifo(path, 0o644) },
	"a socket": func(path string) error {
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		if err == nil {
			l.SetUnlinkOnClose(false)
			err = l.Close()
		}
		return err
	},
	"a device": func(path string) error { return os.Symlink("/dev/null", path) },
	"a folder": func(path string) error { return os.Mkdir(path, 0o755) },
	"a file":   func(path string) error { return os.WriteFile(path, nil, 0o644) },
}

// execute runs a verb in this process.
func execute(t *testing.T, args ...string) error {
	t.Helper()
	root := newRootCommand()
	root.SetArgs(args)
	cli.Prepare(root)
	root.SetOut(new(strings.Builder))
	root.SetErr(new(strings.Builder))
	return root.ExecuteContext(t.Context())
}

// What is in the place of an output is found before there is work to lose, and stays as it is.
func TestOutputsAreCheckedFirst(t *testing.T) {
	t.Setenv("RESSLT_TORCH", shim())
	for verb, o := range outputs {
		if verb == "sweep" { // its cells depend on the data
			needTorch(t)
			needData(t)
		}
		for _, place := range o.places {
			for kind, put := range kinds {
				folder := strings.HasSuffix(place, "/")
				if folder == (kind == "a folder") && (folder || kind == "a file") || !folder && kind == "a file" {
					continue // as it is to be
				}
				dir, err := os.MkdirTemp("", "o") // short: a socket's name has 107 bytes
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { os.RemoveAll(dir) })
				path := filepath.Join(dir, place)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := put(path); err != nil {
					t.Fatal(err)
				}
				was, err := os.Lstat(path)
				if err != nil {
					t.Fatal(err)
				}
				got := execute(t, o.args(dir)...)
				is, err := os.Lstat(path)
				if err != nil || !os.SameFile(was, is) {
					t.Errorf("%s: %s at %s is not there any more: %v", verb, kind, place, err)
				}
				if got == nil || !strings.Contains(got.Error(), path) || strings.Count(got.Error(), "(hint: ") != 1 {
					t.Errorf("%s: %s at %s: %v", verb, kind, place, got)
				}
			}
		}
	}
}

// A run that is resumed has the places of its next checkpoints and records checked, too.
func TestResumedOutputsAreCheckedFirst(t *testing.T) {
	needTorch(t)
	needData(t)
	t.Setenv("RESSLT_TORCH", shim())
	out := t.TempDir()
	summaryOf(t, quick(out)...)
	longer := quick(out, "--resume", "--set", "epochs=3")
	for _, place := range []string{
		filepath.Join(train.CheckpointDir(out), "step-00000030.json"), filepath.Join(train.CheckpointDir(out), "step-00000030.safetensors"),
		filepath.Join(out, "record", "log-000001.arrow"), filepath.Join(out, "record", "log-000001.arrow.open"),
	} {
		for _, kind := range []string{"a named pipe", "a device", "a folder"} {
			if err := kinds[kind](place); err != nil {
				t.Fatal(err)
			}
			if err := execute(t, longer...); err == nil || !strings.Contains(err.Error(), place) {
				t.Errorf("%s at %s: %v", kind, place, err)
			}
			if err := os.Remove(place); err != nil {
				t.Fatal(err)
			}
		}
	}
	// What is no place of the run's is none of its business.
	for name, kind := range map[string]string{"step-00000031.json": "a folder", "notes": "a named pipe"} {
		if err := kinds[kind](filepath.Join(train.CheckpointDir(out), name)); err != nil {
			t.Fatal(err)
		}
	}
	if o := resslt(t, longer...); o.code != 0 {
		t.Errorf("exit %d: %s", o.code, o.stderr)
	}
}
