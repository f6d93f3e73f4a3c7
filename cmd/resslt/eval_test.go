package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"resslt/train"
	"resslt/train/backbone"
	"resslt/train/eval"
	"resslt/train/nn"
)

// encoderFile writes a narrow network's initial weights.
func encoderFile(t *testing.T, dir string, width int) string {
	t.Helper()
	b, err := backbone.New("resnet18", backbone.Config{Width: width, SmallStem: true, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer nn.Free(b)
	path := filepath.Join(dir, "encoder.safetensors")
	info := train.EncoderInfo{Backbone: "resnet18", Width: width, Stem: "small", ImageSize: 16, Mean: nn.ImageNetMean, Std: nn.ImageNetStd}
	if err := train.SaveEncoder(path, b, info); err != nil {
		t.Fatal(err)
	}
	return path
}

// resultOf runs a verb of resslt eval to the end and reads what it prints.
func resultOf(t *testing.T, args ...string) eval.Result {
	t.Helper()
	o := resslt(t, append([]string{"eval"}, append(args, "--json", "--threads", "1")...)...)
	if o.code != 0 {
		t.Fatalf("resslt eval %s: exit %d\n%s", strings.Join(args, " "), o.code, o.stderr)
	}
	var r eval.Result
	if err := json.Unmarshal([]byte(o.stdout), &r); err != nil {
		t.Fatalf("%v: %s", err, o.stdout)
	}
	return r
}

// TestEvalVerbs runs every verb on real images and an untrained narrow network:
// better than chance each, features taken once, results kept beside the weights.
func TestEvalVerbs(t *testing.T) {
	t.Parallel()
	needTorch(t)
	needData(t)
	dir := t.TempDir()
	file, cache := encoderFile(t, dir, 4), filepath.Join(dir, "cache")
	with := func(verb string, more ...string) []string {
		return append([]string{verb, "--checkpoint", file, "--data", "fashion-mnist:" + smallData(), "--max-images", "600", "--cache", cache}, more...)
	}
	for _, c := range []struct {
		args  []string
		score string
		above float64
	}{
		{with("knn", "--k", "20"), "top1_k20", 30},
		{with("linear", "--lr", "0.5", "--epochs", "20"), "top1", 30},
		{with("linear", "--augment", "--lr", "0.5", "--epochs", "2", "--data", "fashion-mnist:", "--cache", cache+"-all"), "top1", 15}, // of all images
		{with("linear", "--protocol", "author", "--lr", "1", "--epochs", "2", "--batch-size", "20"), "top1_lr1_best", 15},
		{with("semi", "--labels", "0.2", "--mode", "frozen", "--epochs", "20", "--batch-size", "20", "--head-lr", "0.5"), "top1_20%", 15},
		{with("semi", "--labels", "0.2", "--epochs", "6", "--batch-size", "10"), "top1_20%", 12},
		{with("semi", "--labels", "0.2", "--mode", "frozen", "--augment=false", "--head-lr", "0.5"), "top1_20%", 20},
		{with("transfer", "--penalties", "8"), "top1", 40},
		{with("lowshot", "--k", "4", "--draws", "2"), "map_full", 25},
		{with("lowshot", "--k", "4", "--draws", "2", "--costs", "0.1,1"), "map11_k4", 15},
		{with("neighbours", "--views", "plain,weak,strong"), "same_class_plain", 15},
		{with("tsne", "--iterations", "300"), "trustworthiness", 80},
	} {
		r := resultOf(t, c.args...)
		got := -1.0
		for _, s := range r.Scores {
			if s.Name == c.score {
				got = s.Value
			}
		}
		if !(got > c.above && got <= 100) {
			t.Errorf("%s: %s is %.2f, want above %v: %+v", strings.Join(c.args, " "), c.score, got, c.above, r.Scores)
		}
		if r.Data != "fashion-mnist" || len(r.Encoder.SHA256) != 64 || r.Encoder.File != "encoder.safetensors" || len(r.Splits) == 0 || r.Splits[0].Images > 600 {
			t.Errorf("%s: %+v", c.args[0], r)
		}
	}
	if files, _ := os.ReadDir(cache); len(files) != 2 {
		t.Errorf("%d files of features, want those of train and test", len(files))
	}
	kept, err := eval.ReadReport(dir)
	if err != nil || len(kept.Results) != 12 {
		t.Errorf("%d results in eval.json (%v), want 12", len(kept.Results), err)
	}
	for _, name := range []string{"neighbours.png", "tsne.png"} {
		raw, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := png.Decode(bytes.NewReader(raw)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The same again: the same figure, and no second entry.
	a, b := resultOf(t, with("knn", "--k", "20")...), resultOf(t, with("knn", "--k", "20")...)
	if a.Scores[0].Value != b.Scores[0].Value {
		t.Errorf("kNN gives %v, then %v", a.Scores, b.Scores)
	}
	if kept, _ := eval.ReadReport(dir); len(kept.Results) != 12 {
		t.Errorf("%d results after a repetition", len(kept.Results))
	}
	// Features kept by one program are given to another by name.
	files, _ := filepath.Glob(filepath.Join(cache, "*.safetensors"))
	r := resultOf(t, "knn", "--features", files[1], "--eval-features", files[0], "--k", "20")
	if r.Scores[0].Value != a.Scores[0].Value {
		t.Errorf("from files kNN gives %v, from the encoder %v", r.Scores, a.Scores)
	}
	// The untrained network of the same shape has a digest of its own.
	u := resultOf(t, with("knn", "--k", "20", "--untrained", "--seed", "7")...)
	if !u.Encoder.Untrained || u.Encoder.SHA256 == a.Encoder.SHA256 {
		t.Errorf("untrained: %+v", u.Encoder)
	}
}

func TestEvalBadInput(t *testing.T) {
	t.Parallel()
	needTorch(t)
	needData(t)
	dir := t.TempDir()
	file := encoderFile(t, dir, 4)
	wide := filepath.Join(dir, "wide")
	if err := os.Mkdir(wide, 0o755); err != nil {
		t.Fatal(err)
	}
	cache := filepath.Join(dir, "cache")
	few := []string{"--data", "fashion-mnist:" + smallData(), "--max-images", "60", "--cache", cache}
	resultOf(t, append([]string{"knn", "--k", "1", "--checkpoint", file}, few...)...)
	narrowFiles, _ := filepath.Glob(filepath.Join(cache, "*"))
	resultOf(t, append([]string{"knn", "--k", "1", "--checkpoint", encoderFile(t, wide, 6)}, few...)...)
	all, _ := filepath.Glob(filepath.Join(cache, "*test*"))
	wideTest := all[0]
	for _, f := range all {
		if !strings.Contains(strings.Join(narrowFiles, " "), f) {
			wideTest = f
		}
	}
	narrowTrain := narrowFiles[len(narrowFiles)-1]

	// A folder without classes, one with a class that is too small, a list.
	jpg := jpegFile(t, 16, 3)
	for _, split := range []string{"train", "test"} {
		for i := range 4 {
			write(t, filepath.Join(dir, "flat", split, fmt.Sprintf("%d.jpg", i)), jpg)
			write(t, filepath.Join(dir, "small", split, "many", fmt.Sprintf("%d.jpg", i)), jpg)
		}
		write(t, filepath.Join(dir, "small", split, "one", "x.jpg"), jpg)
	}
	list := filepath.Join(dir, "list.txt")
	write(t, list, []byte("0.jpg\nnone.jpg\n"))
	voc := filepath.Join(dir, "voc")
	write(t, filepath.Join(voc, "ImageSets/Main/train.txt"), []byte("000001\n"))
	write(t, filepath.Join(voc, "ImageSets/Main/test.txt"), []byte("000001\n"))
	write(t, filepath.Join(voc, "Annotations/000001.xml"), []byte("<annotation><object><name>cat</name><difficult>0</difficult></object></annotation>"))
	write(t, filepath.Join(voc, "JPEGImages/000002.jpg"), jpg)

	check := []string{"--checkpoint", file}
	for name, tc := range map[string]struct {
		args []string
		code int
		says []string
	}{
		"labels missing":           {append([]string{"knn", "--data", "folder:" + filepath.Join(dir, "flat")}, check...), 2, []string{"label", "hint"}},
		"labels missing, semi":     {append([]string{"semi", "--data", "folder:" + filepath.Join(dir, "flat")}, check...), 2, []string{"no labels", "hint"}},
		"class below k":            {append([]string{"lowshot", "--k", "3", "--data", "folder:" + filepath.Join(dir, "small")}, check...), 2, []string{"class 1", "1 images", "k is 3"}},
		"annotation, no image":     {append([]string{"lowshot", "--data", "voc2007:" + voc}, check...), 1, []string{"000001", "hint"}},
		"another backbone":         {append([]string{"knn", "--data", "fashion-mnist:" + smallData(), "--backbone", "resnet34"}, check...), 1, []string{"resnet34", "missing keys", file}},
		"another width of network": {append([]string{"knn", "--data", "fashion-mnist:" + smallData(), "--width", "8"}, check...), 1, []string{"width 8", "want [8 3 3 3]", "[4 3 3 3]"}},
		"another width":            {[]string{"knn", "--features", narrowTrain, "--eval-features", wideTest}, 2, []string{"32 dimensions", "test features 48"}},
		"one file of features":     {[]string{"knn", "--features", narrowTrain}, 2, []string{"--eval-features"}},
		"features are weights":     {[]string{"knn", "--features", file, "--eval-features", file}, 1, []string{file, "no features"}},
		"no such k":                {append([]string{"knn", "--k", "0", "--data", "fashion-mnist:" + smallData()}, check...), 2, []string{"option k: wrong use: is 0", "1 or more"}},
		"list of other images":     {append([]string{"semi", "--list", list, "--data", "folder:" + filepath.Join(dir, "small")}, check...), 1, []string{list + ":2", "none.jpg"}},
		"several classes":          {[]string{"transfer", "--metric", "map11", "--features", narrowTrain, "--eval-features", narrowTrain}, 2, []string{"map11", "hint"}},
		"no data":                  {append([]string{"tsne"}, check...), 2, []string{"--data"}},
		"no such split":            {append([]string{"linear", "--data", "fashion-mnist:" + smallData(), "--eval-split", "holdout"}, check...), 2, []string{"holdout"}},
		"views of a query":         {append([]string{"neighbours", "--data", "fashion-mnist:" + smallData(), "--views", "wild"}, check...), 2, []string{"wild", "strong"}},
	} {
		t.Run(name, func(t *testing.T) {
			o := resslt(t, append([]string{"eval"}, append(tc.args, "--threads", "1", "--out", "-")...)...)
			// The error is one line, below those that say what the data is.
			lines := strings.Split(strings.TrimSpace(o.stderr), "\n")
			lines = slices.DeleteFunc(lines, func(l string) bool { return strings.Contains(l, ", split ") && !strings.HasPrefix(l, "resslt: ") })
			if o.code != tc.code || len(lines) != 1 {
				t.Errorf("exit %d, want %d, on one line: %s", o.code, tc.code, o.stderr)
			}
			for _, s := range tc.says {
				if !strings.Contains(o.stderr, s) {
					t.Errorf("%q does not say %q", o.stderr, s)
				}
			}
		})
	}
}

// TestSemiOfAList names a tenth of the images: the scores, the mode and the settings are those
// of 10 % of the labels, whichever way they were named.
func TestSemiOfAList(t *testing.T) {
	t.Parallel()
	needTorch(t)
	dir := t.TempDir()
	file := encoderFile(t, dir, 4)
	var list strings.Builder
	for i := range 20 {
		for class, c := range []string{"a", "b"} {
			name := fmt.Sprintf("%s%d.jpg", c, i)
			write(t, filepath.Join(dir, "data", "train", c, name), jpegFile(t, 16, i+class))
			write(t, filepath.Join(dir, "data", "test", c, name), jpegFile(t, 16, i+class))
			if i < 2 {
				fmt.Fprintf(&list, "%s\n\n", name)
			}
		}
	}
	names := filepath.Join(dir, "tenth.txt")
	write(t, names, []byte(list.String()))
	r := resultOf(t, "semi", "--checkpoint", file, "--data", "folder:"+filepath.Join(dir, "data"), "--list", names, "--epochs", "1", "--batch-size", "4")
	if r.Scores[0].Name != "top1_10%" || r.Settings["mode"] != "finetune" || r.Settings["labels"] != 0.1 || r.Settings["list"] != "tenth.txt" {
		t.Errorf("scores %+v, settings %v", r.Scores, r.Settings)
	}
	if o := resslt(t, "eval", "semi", "--checkpoint", file, "--data", "folder:"+dir, "--list", names, "--labels", "0.1"); o.code != 2 || !strings.Contains(o.stderr, "--list says which") {
		t.Errorf("a list and a fraction: exit %d, %s", o.code, o.stderr)
	}
}

// TestPicturesWithoutLabels draws what needs no labels from pictures that have none.
func TestPicturesWithoutLabels(t *testing.T) {
	t.Parallel()
	needTorch(t)
	dir := t.TempDir()
	file := encoderFile(t, dir, 4)
	for i := range 24 {
		for _, split := range []string{"train", "test"} {
			write(t, filepath.Join(dir, "data", split, fmt.Sprintf("%02d.jpg", i)), jpegFile(t, 16, i))
		}
	}
	with := func(verb string, more ...string) []string {
		return append([]string{verb, "--checkpoint", file, "--data", "folder:" + filepath.Join(dir, "data")}, more...)
	}
	for _, args := range [][]string{
		with("tsne", "--iterations", "60", "--perplexity", "5"),
		with("neighbours", "--k", "3", "--views", "plain,weak"),
	} {
		r := resultOf(t, args...)
		for _, s := range r.Scores {
			if strings.HasPrefix(s.Name, "same_class") {
				t.Errorf("%s: %s of %g, where no class is known", args[0], s.Label, s.Value)
			}
		}
		raw, err := os.ReadFile(filepath.Join(dir, r.Pictures[0]))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := png.Decode(bytes.NewReader(raw)); err != nil {
			t.Errorf("%s: %v", args[0], err)
		}
	}
}
