package main

import (
	"io/fs"
	"path/filepath"
	"testing"
)

// A command that is refused leaves nothing behind: no folder that looks like a run or an export.
func TestRefusedLeavesNothing(t *testing.T) {
	t.Parallel()
	needTorch(t)
	needData(t)
	from, small := finished(t), "fashion-mnist:"+smallData()
	encoder := filepath.Join(from, "encoder.safetensors")
	for what, args := range map[string][]string{
		"run, no data":             {"run", "--recipe", "smoke", "--data", "folder:/none"},
		"run, no such recipe":      {"run", "--recipe", "none"},
		"run, a bad setting":       {"run", "--recipe", "smoke", "--data", small, "--set", "batch_size=0"},
		"run, a bad record":        {"run", "--recipe", "smoke", "--data", small, "--record", "pixels:5000-6000"},
		"run, a GPU":               {"run", "--recipe", "smoke", "--data", small, "--set", "device=cuda:7"},
		"train, no broker":         {"train", "--nats", "nats://127.0.0.1:1", "--recipe", "smoke", "--data", small},
		"train, no recording":      {"train", "--replay", "pixels:/none"},
		"train, too few steps":     {"train", "--replay", "log:" + from, "--set", "epochs=3"},
		"sweep, no data":           {"sweep", "--recipe", "smoke", "--grid", "K=128,256", "--data", "folder:/none"},
		"export, no weights":       {"export", "--checkpoint", "/none"},
		"export, another form":     {"export", "--checkpoint", from, "--format", "timm"},
		"export, detectron2":       {"export", "--checkpoint", from, "--format", "detectron2"},
		"embed, no weights":        {"embed", "--checkpoint", "/none", "--data", small},
		"embed, no data":           {"embed", "--checkpoint", encoder, "--data", "folder:/none"},
		"eval, no data":            {"eval", "knn", "--checkpoint", encoder, "--data", "folder:/none"},
		"eval, no weights":         {"eval", "tsne", "--checkpoint", "/none", "--data", small},
		"shards pack, no data":     {"shards", "pack", "--data", "folder:/none"},
		"record export, no pixels": {"record", "export", from},
		"record export, a log":     {"record", "export", from, "--steps", "0-3"},
		"inspect, no data":         {"inspect", "--data", "folder:/none"},
		"report, no run":           {"report"},
	} {
		dir := t.TempDir()
		out := filepath.Join(dir, "out")
		o := resslt(t, append(args, "--out", out)...)
		if o.code == 0 {
			t.Errorf("%s: exit 0", what)
		}
		err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			if path != dir {
				t.Errorf("%s: leaves %s", what, path)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	// What was there before stays, empty or not.
	kept := t.TempDir()
	if o := resslt(t, "run", "--recipe", "smoke", "--data", "folder:/none", "--out", kept); o.code == 0 {
		t.Error("exit 0")
	}
	if !exists(kept) || exists(filepath.Join(kept, ".lock")) {
		t.Error("the folder that was there has gone, or has a lock")
	}
}
