package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"resslt/train/eval"
)

// The first day of somebody with a folder of classes and nothing else: the encoder is scored, all
// verbs take the run's folder, what cannot be read is named, and features come with their keys.
func TestFirstDay(t *testing.T) {
	t.Parallel()
	needTorch(t)
	dir := t.TempDir()
	images, out := filepath.Join(dir, "photos"), filepath.Join(dir, "mine")
	writeClasses(t, images, 30, "cat", "dog")
	write(t, filepath.Join(images, "cat", "000 broken.jpg"), []byte("not a picture"))
	sum := summaryOf(t, "run", "--recipe", "images", "--data", "folder:"+images, "--out", out, "--json", "--record", "pixels:0-1",
		"--set", "epochs=2", "--set", "knn_every=1", "--set", "batch_size=8", "--set", "width=8", "--set", "projector_hidden=16", "--set", "embedding_dim=16",
		"--set", "K=64", "--set", "threads=1", "--set", "linear_epochs=2", "--set", "image_size=32")
	o := resslt(t, "run", "--out", out, "--recipe", "images", "--resume", "--data", "folder:"+images)
	for _, want := range []string{"there is no split test", "every 5th image"} {
		if !strings.Contains(o.stderr, want) {
			t.Errorf("the run does not say %q: %s", want, o.stderr)
		}
	}
	if sum.KNNTop1 == nil || sum.LinearTop1 == nil || len(sum.Evaluated) != 2 || sum.Evaluated[1].Split != "train, 1 in 5" || sum.Evaluated[1].Images != 12 {
		t.Fatalf("the run is not scored on a held-out part: %+v", sum.Evaluated)
	}
	if sum.SamplesUndecodable != 1 || sum.Replaced[0].Key != "cat/000 broken.jpg" {
		t.Errorf("replaced: %+v", sum.Replaced)
	}
	if raw, err := os.ReadFile(filepath.Join(out, "knn.jsonl")); err != nil || strings.Count(string(raw), "\n") != 2 {
		t.Errorf("kNN while training: %s, %v", raw, err)
	}

	// The folder is a --checkpoint of eval and embed, too, and the same part is held out.
	o = resslt(t, "eval", "knn", "--checkpoint", out, "--data", "folder:"+images, "--hold-out", "5", "--k", "20,200", "--threads", "1", "--json", "--out", "-")
	var res eval.Result
	if err := json.Unmarshal([]byte(o.stdout), &res); err != nil || o.code != 0 || res.Scores[0].Value != *sum.KNNTop1 {
		t.Errorf("exit %d: %s, want %v\n%s", o.code, o.stdout, *sum.KNNTop1, o.stderr)
	}
	for verb, hint := range map[string]string{"knn": "give --hold-out 5 to score on a fifth of split train", "linear": "give --hold-out 5", "lowshot": "give --eval-split NAME=FOLDER", "tsne": "give --eval-split NAME=FOLDER"} {
		if o := resslt(t, "eval", verb, "--checkpoint", out, "--data", "folder:"+images, "--threads", "1", "--out", "-"); o.code != 1 || !strings.Contains(o.stderr, "(hint: "+hint) {
			t.Errorf("eval %s without a split to score on: exit %d: %s", verb, o.code, o.stderr)
		}
	}
	if o := resslt(t, "eval", "knn", "--checkpoint", out, "--data", "folder:"+images, "--hold-out", "1"); o.code != 2 {
		t.Errorf("all held out: exit %d: %s", o.code, o.stderr)
	}
	if o := resslt(t, "eval", "knn", "--checkpoint", images, "--data", "folder:"+images); o.code != 1 || !strings.Contains(o.stderr, "it is a folder without encoder.safetensors") {
		t.Errorf("a folder that is no run: exit %d: %s", o.code, o.stderr)
	}

	// Features with their names, of what can be read.
	npz := filepath.Join(dir, "f.npz")
	if o := resslt(t, "embed", "--checkpoint", out, "--data", "folder:"+images, "--out", npz); o.code != 1 || !strings.Contains(o.stderr, "--skip-bad") {
		t.Errorf("exit %d: %s", o.code, o.stderr)
	}
	if o := resslt(t, "embed", "--checkpoint", out, "--data", "folder:"+images, "--out", npz, "--skip-bad"); o.code != 0 || !strings.Contains(o.stderr, "000 broken.jpg") {
		t.Errorf("exit %d: %s", o.code, o.stderr)
	}
	const check = `import numpy as np, sys
f = np.load(sys.argv[1])
assert f["keys"].shape == f["labels"].shape == (60,) and f["features"].shape == (60, 64) and f["features"].dtype == np.float32, {k: v.shape for k, v in f.items()}
assert f["keys"][0] == "cat/000.png" and f["keys"][-1] == "dog/029.png" and f["labels"].tolist() == [0] * 30 + [1] * 30, f["keys"]
assert np.isfinite(f["features"]).all() and f["features"].std() > 0`
	if out, err := exec.Command("/usr/bin/python3", "-c", check, npz).CombinedOutput(); err != nil {
		if strings.Contains(string(out), "No module named") {
			t.Log("NumPy is not installed: " + string(out))
		} else {
			t.Errorf("numpy.load: %v\n%s", err, out)
		}
	}

	// What a ledger finds has a name, and a replay that would end early does not begin.
	if o := resslt(t, "record", "verify", out); o.code != 0 || !strings.Contains(o.stdout, "(cat/000 broken.jpg) by ") {
		t.Errorf("exit %d: %s%s", o.code, o.stdout, o.stderr)
	}
	again := filepath.Join(dir, "again")
	if o := resslt(t, "train", "--replay", "pixels:"+out, "--out", again); o.code != 1 || !strings.Contains(o.stderr, "lacks the pixels of step 2") || exists(again) {
		t.Errorf("exit %d: %s", o.code, o.stderr)
	}
}
