package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// labelledTar writes images of two classes with their labels, whose names nobody gives: what
// webdataset's writer leaves. without is an image that has none, -1 for none such.
func labelledTar(t *testing.T, without int) string {
	t.Helper()
	data := imageTar(t, 24, 32, func(i int) string {
		if i == without {
			return ""
		}
		return fmt.Sprint(i % 2)
	})
	path := filepath.Join(t.TempDir(), "t.tar")
	write(t, path, data)
	return "wds:" + path
}

// imageTar is a shard of n JPEGs with the labels that label gives, "" for none.
func imageTar(t *testing.T, n, side int, label func(i int) string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	add := func(name string, data []byte) {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(data))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		if l := label(i); l != "" {
			add(fmt.Sprintf("%04d.cls", i), []byte(l))
		}
		add(fmt.Sprintf("%04d.jpg", i), jpegFile(t, side, i))
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestLabelsWithoutNames: labels need no names to be scored, by a run or by a verb.
func TestLabelsWithoutNames(t *testing.T) {
	t.Parallel()
	needTorch(t)
	run := func(data, out string) outcome {
		return resslt(t, "run", "--recipe", "images", "--data", data, "--set", "eval_split=train", "--set", "image_size=32", "--set", "stem=small",
			"--set", "width=8", "--set", "batch_size=8", "--set", "epochs=1", "--set", "K=16", "--set", "linear_epochs=2", "--set", "eval=[knn,linear]", "--json", "--out", out)
	}
	data, out := labelledTar(t, -1), t.TempDir()
	o := run(data, out)
	if o.code != 0 || strings.Contains(o.stderr, "not evaluated") {
		t.Fatalf("exit %d: %s", o.code, o.stderr)
	}
	if s := printed(t, o); s.KNNTop1 == nil || s.LinearTop1 == nil {
		t.Errorf("not scored: %+v", s)
	}
	encoder := filepath.Join(out, "encoder.safetensors")
	for verb, more := range map[string][]string{
		"knn": {"--k", "3"}, "linear": {"--epochs", "1"}, "semi": {"--epochs", "1", "--labels", "0.5"}, "transfer": nil, "tsne": {"--perplexity", "5"}, "neighbours": nil,
	} {
		args := append([]string{"eval", verb, "--checkpoint", encoder, "--data", data, "--split", "train", "--eval-split", "train", "--out", t.TempDir()}, more...)
		if o := resslt(t, args...); o.code != 0 {
			t.Errorf("eval %s: exit %d: %s", verb, o.code, o.stderr)
		}
	}
	o = resslt(t, "shards", "ls", "--data", data, "--json")
	var ls struct{ Classes []string }
	lines := strings.Split(strings.TrimSpace(o.stdout), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &ls); err != nil || fmt.Sprint(ls.Classes) != "[0 1]" {
		t.Errorf("shards ls: %v: %s", err, o.stdout)
	}
	// Images without a label have no place in a score, and the run is no less done.
	o = run(labelledTar(t, 5), t.TempDir())
	if o.code != 0 || !strings.Contains(o.stderr, "not evaluated") || !strings.Contains(o.stderr, "no labels for 1 of its 24 images") {
		t.Errorf("exit %d: %s", o.code, o.stderr)
	}
}
