package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"resslt/cmd/internal/pipeline"
	"resslt/cmd/internal/runreport"
	"resslt/schemas"
	"resslt/train"
)

// badPictures is a data set of 20 good pictures in two classes, of which one JPEG is a GIF
// by its name and one a TIFF, four that cannot be decoded, in both splits, and things that
// are passed over.
func badPictures(t *testing.T) string {
	t.Helper()
	good := func(name string) []byte {
		raw, err := os.ReadFile(filepath.Join("../../augment", name))
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	jpg := good("testdata/parity/files/jpeg420.jpg")
	dir := t.TempDir()
	for _, split := range []string{"train", "test"} {
		files := map[string][]byte{
			"cat/gif.jpg": good("raster/testdata/files/table-full.gif"), "owl/real.tif": good("raster/testdata/files/im.tif"),
			"cat/y0.jpg": jpg[:len(jpg)/2], "cat/y1.png": []byte("<!DOCTYPE html><title>404</title>"), "owl/y2.jpg": []byte("\x00\x00\x00\x20ftypavif"), "owl/y3.webp": []byte("text"),
			"cat/note.txt": []byte("x"), "owl/note.txt": []byte("x"), "owl/photo.heic": []byte("x"),
		}
		for i := range 9 {
			files[fmt.Sprintf("cat/g%d.jpg", i)], files[fmt.Sprintf("owl/g%d.jpg", i)] = jpg, good("testdata/parity/files/progressive.jpg")
		}
		for name, raw := range files {
			path := filepath.Join(dir, split, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, raw, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	return "folder:" + dir
}

// mentions fails where text lacks one of the words.
func mentions(t *testing.T, what, text string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("%s lacks %q:\n%s", what, w, text)
		}
	}
}

// A run names what it passes over, each sample that it replaces, with the reason, and what
// its probes leave out: on the console, in the summary and on the page; eval and embed do, too.
// A resumed run counts what the whole one does.
func TestRunNamesWhatItCannotUse(t *testing.T) {
	t.Parallel()
	needTorch(t)
	data, out := badPictures(t), filepath.Join(t.TempDir(), "run")
	args := []string{
		"run", "--recipe", "images", "--data", data, "--out", out, "--json", "--set", "image_size=32", "--set", "epochs=3", "--set", "batch_size=8",
		"--set", "K=16", "--set", "width=8", "--set", "eval=[knn]", "--set", "knn_k=[5]", "--set", "keep_checkpoints=3",
	}
	o := resslt(t, args...)
	if o.code != 0 {
		t.Fatalf("exit %d: %s", o.code, o.stderr)
	}
	sum := printed(t, o)
	if sum.Images != 24 || sum.Classes != 2 || sum.SamplesUndecodable != 4 || len(sum.Replaced) != 4 || sum.SamplesReplaced != 12 {
		t.Errorf("the summary has %d images, %d classes, %d replaced %+v", sum.Images, sum.Classes, sum.SamplesReplaced, sum.Replaced)
	}
	names := []string{"cat/y0.jpg", "cat/y1.png", "owl/y2.jpg", "owl/y3.webp"}
	reasons := []string{"the file is cut off", "it is a web page", "it is AVIF", "no picture"}
	for i, r := range sum.Replaced {
		if r.Key != names[i] || r.Count != 3 || !strings.Contains(r.Reason, reasons[i]) {
			t.Errorf("replaced: %+v, want %s: %s", r, names[i], reasons[i])
		}
	}
	if sum.PassedOver.Count() != 3 {
		t.Errorf("passed over: %+v", sum.PassedOver)
	}
	if len(sum.Evaluated) != 2 || sum.Evaluated[1].Skipped != 4 || len(sum.Evaluated[1].SkippedImages) != 4 || sum.Evaluated[1].Split != "test" {
		t.Errorf("evaluated: %+v", sum.Evaluated)
	}
	mentions(t, "the console", o.stderr, data+", split train: 24 samples, 2 classes; passed over 3: ", `first "cat/note.txt"`, `first "owl/photo.heic"`,
		"warning: another sample takes the place of ", "warning: replaced 12 of 72 samples (4 different)", "split test: 24 samples", "not evaluated of split test: 4 images")
	mentions(t, "the console", o.stderr, names...)
	page, err := os.ReadFile(filepath.Join(out, runreport.File))
	if err != nil {
		t.Fatal(err)
	}
	mentions(t, "the page", string(page), append(names, "Samples that cannot be decoded", "Passed over", "cat/note.txt", "it is AVIF")...)

	// Taken back to each checkpoint that is kept, the run counts the same.
	for _, step := range []string{"00000006", "00000003"} {
		for _, later := range []string{"00000009", "00000006"} {
			if later > step {
				for _, ext := range []string{".json", ".safetensors"} {
					if err := os.Remove(filepath.Join(train.CheckpointDir(out), "step-"+later+ext)); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		again := summaryOf(t, append(args, "--resume")...)
		sameWeights(t, "resumed at "+step, again, sum)
		if !reflect.DeepEqual(again.Replaced, sum.Replaced) || again.SamplesReplaced != sum.SamplesReplaced {
			t.Errorf("resumed at %s: %d, %+v", step, again.SamplesReplaced, again.Replaced)
		}
	}

	encoder := filepath.Join(out, "encoder.safetensors")
	o = resslt(t, "eval", "knn", "--checkpoint", encoder, "--data", data, "--k", "5")
	mentions(t, "eval", o.stderr, "split train: 24 samples, 2 classes; passed over 3: ", "warning: skipped: 4 images cannot be decoded: cat/y0.jpg")
	o = resslt(t, "embed", "--checkpoint", encoder, "--data", data, "--skip-bad", "--out", filepath.Join(t.TempDir(), "e.npy"))
	mentions(t, "embed", o.stdout+o.stderr, append(names, "passed over 3: ", "20×64 features", "4 images skipped")...)
	o = resslt(t, "inspect", "--data", data, "--out", filepath.Join(t.TempDir(), "s.png"))
	mentions(t, "inspect", o.stderr, "passed over 3: ")
	o = resslt(t, "bench", "augment", "--data", data, "--samples", "1", "--count", "1", "--policy", "small")
	mentions(t, "bench augment", o.stderr, "passed over 3: ")
}

// saysAs fails unless a replay says of the data what the recorded run said.
func saysAs(t *testing.T, what string, got, want train.Summary, out, recorded string) {
	t.Helper()
	if got.Classes != want.Classes || !reflect.DeepEqual(got.PassedOver, want.PassedOver) || !reflect.DeepEqual(got.Replaced, want.Replaced) || got.Dataset != want.Dataset {
		t.Errorf("%s: of %s %d classes, passed over %+v, replaced %+v; recorded: of %s %d, %+v, %+v", what,
			got.Dataset, got.Classes, got.PassedOver, got.Replaced, want.Dataset, want.Classes, want.PassedOver, want.Replaced)
	}
	if recorded == "" {
		return
	}
	is, was := readFile(t, filepath.Join(out, pipeline.DatasetFile)), readFile(t, filepath.Join(recorded, pipeline.DatasetFile))
	if !bytes.Equal(is, was) {
		t.Errorf("%s: %s:\n%s\nrecorded:\n%s", what, pipeline.DatasetFile, is, was)
	}
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// A replay says of the data what the run said that was recorded: of its log, its pixels and
// an export of them, with the data in place or gone.
func TestReplaySaysWhatWasRecorded(t *testing.T) {
	needTorch(t)
	data, recorded := badPictures(t), filepath.Join(t.TempDir(), "run")
	args := func(out string, more ...string) []string {
		return append([]string{
			"--recipe", "images", "--out", out, "--json", "--set", "image_size=32", "--set", "epochs=1",
			"--set", "batch_size=8", "--set", "K=16", "--set", "width=8", "--set", "eval=[none]",
		}, more...)
	}
	want := summaryOf(t, append([]string{"run"}, args(recorded, "--data", data, "--record", "pixels")...)...)
	if want.Classes != 2 || want.PassedOver.Count() != 3 || len(want.Replaced) != 4 {
		t.Fatalf("recorded: %+v", want)
	}
	exported := filepath.Join(t.TempDir(), "exported")
	if o := resslt(t, "record", "export", recorded, "--out", exported); o.code != 0 {
		t.Fatal(o.stderr)
	}
	// As an earlier build has left it: a log alone, or what is kept beside it.
	bare := t.TempDir()
	logs, err := filepath.Glob(filepath.Join(recorded, "record", "log-*"))
	if err != nil || len(logs) != 1 {
		t.Fatal(err, logs)
	}
	write(t, filepath.Join(bare, filepath.Base(logs[0])), readFile(t, logs[0]))
	for _, source := range []string{"log:" + recorded, "log:" + logs[0], "log:" + bare, "pixels:" + exported} {
		out := filepath.Join(t.TempDir(), "again")
		got := summaryOf(t, append([]string{"train", "--replay", source}, args(out, "--data", data)...)...)
		sameWeights(t, source, got, want)
		saysAs(t, source, got, want, out, recorded)
	}
	if err := os.Rename(strings.TrimPrefix(data, "folder:"), filepath.Join(t.TempDir(), "away")); err != nil {
		t.Fatal(err)
	}
	for i := range want.Replaced {
		want.Replaced[i].Key = "" // the data alone knows it
	}
	for _, source := range []string{"pixels:" + recorded, "pixels:" + exported} {
		out := filepath.Join(t.TempDir(), "again")
		got := summaryOf(t, append([]string{"train", "--replay", source}, args(out, "--data", data)...)...)
		saysAs(t, source+", its data gone", got, want, out, recorded)
	}
}

// A farm's workers say what they passed over, and its trainer names what was replaced.
func TestFarmNamesWhatItCannotUse(t *testing.T) {
	needTorch(t)
	data, url := badPictures(t), natsServer(t)
	worker := start(t, command(t, "augmentd", "--nats", url, "--workers", "2"))
	args := []string{
		"train", "--nats", url, "--recipe", "images", "--data", data, "--json", "--set", "image_size=32", "--set", "epochs=1",
		"--set", "batch_size=8", "--set", "K=16", "--set", "width=8", "--set", "eval=[none]",
	}
	o := resslt(t, append(args, "--run", "bad", "--record", "stream", "--out", t.TempDir())...)
	if o.code != 0 {
		t.Fatalf("exit %d: %s", o.code, o.stderr)
	}
	mentions(t, "the trainer", o.stderr, "passed over 3: ", "warning: replaced 4 of 24 samples", "cat/y0.jpg")
	if err := worker.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	_ = worker.Wait() // 130, since it was interrupted
	mentions(t, "the worker", worker.errs.String(), "passed over 3: ")

	// A replay of what the broker keeps says the same, and so does one of an export.
	want, exported := printed(t, o), filepath.Join(t.TempDir(), "exported")
	if o := resslt(t, "record", "export", "stream:bad", "--nats", url, "--out", exported); o.code != 0 {
		t.Fatal(o.stderr)
	}
	for i := range want.Replaced {
		want.Replaced[i].Key = "" // the data alone knows it
	}
	for _, source := range []string{"stream:bad", "pixels:" + exported} {
		saysAs(t, source, summaryOf(t, append(args, "--replay", source, "--out", t.TempDir())...), want, "", "")
	}
}

// shards' verbs list every reason, in the text and in the JSON.
func TestShardsListWhatIsPassedOver(t *testing.T) {
	data, cache := badPictures(t), t.TempDir()
	out := filepath.Join(t.TempDir(), "shards")
	for _, args := range [][]string{{"index"}, {"ls"}, {"verify"}, {"pack", "--out", out}} {
		text, err := shardsVerb(t, append(args, "--data", data, "--cache", cache, "--json")...)
		if err != nil {
			t.Fatal(err)
		}
		var got struct {
			Samples    int64
			Classes    []string
			PassedOver schemas.Survey `json:"passed_over"`
		}
		lastJSON(t, text, &got)
		if got.Samples != 24 || len(got.Classes) != 2 || got.PassedOver.Count() != 3 {
			t.Errorf("%s: %+v", args[0], got)
		}
		mentions(t, args[0], text, "passed over 3:\n", `first "cat/note.txt"`, `first "owl/photo.heic"`)
	}
	text, err := shardsVerb(t, "index", "--data", "wds:"+out, "--cache", cache, "--json")
	if err != nil || strings.Contains(text, "passed over") && !strings.Contains(text, "passed over 0") {
		t.Errorf("packed shards: %v\n%s", err, text)
	}
}
