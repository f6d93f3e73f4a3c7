package ingest

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"resslt/schemas"
	"resslt/schemas/errs"
)

// mixedTrees writes folders a (cat, dog), b (dog, eel), c (no classes) and d (train and val).
func mixedTrees(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	picture := func(n int) []byte { return jpegBytes(t, 8+n, 8) }
	writeTree(t, dir, map[string][]byte{
		"a/cat/1.jpg": picture(0), "a/cat/2.jpg": picture(1), "a/dog/1.jpg": picture(2),
		"b/dog/9.jpg": picture(3), "b/eel/1.jpg": picture(4), "b/eel/notes.txt": []byte("no picture"),
		"c/1.jpg": picture(5), "c/2.jpg": picture(6),
		"d/train/x/1.jpg": picture(7), "d/val/x/2.jpg": picture(8),
		"odd+2*name/y/1.jpg": picture(9),
	})
	return dir
}

func openMixture(t *testing.T, uri string) *mixSource {
	t.Helper()
	src, err := Open(t.Context(), uri, Options{CacheDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { src.Close() })
	return src.(*mixSource)
}

func TestMixture(t *testing.T) {
	dir := mixedTrees(t)
	writeTree(t, dir, map[string][]byte{"sets.yaml": []byte(`sets:
  - {data: "folder:a", weight: 1, name: animals}
  - {data: "folder:d", weight: 1, split: val}
`)})
	for _, tc := range []struct {
		uri     string
		classes string
		labels  []int32
		keys    []string
		draws   []int64
	}{
		{
			"mix:3*folder:DIR/a+1*folder:DIR/b", "[cat dog eel]",
			[]int32{0, 0, 1, 1, 2},
			[]string{"0/cat/1.jpg", "0/cat/2.jpg", "0/dog/1.jpg", "1/dog/9.jpg", "1/eel/1.jpg"},
			[]int64{4, 1},
		},
		{
			"mix:0.5*folder:DIR/c+.5*folder:DIR/b", "[dog eel]",
			[]int32{-1, -1, 0, 1},
			[]string{"0/1.jpg", "0/2.jpg", "1/dog/9.jpg", "1/eel/1.jpg"},
			[]int64{2, 2},
		},
		{
			"mix:1e0*folder:DIR/odd+2*name+1*folder:DIR/c", "[y]",
			[]int32{0, -1, -1},
			[]string{"0/y/1.jpg", "1/1.jpg", "1/2.jpg"},
			[]int64{2, 1},
		},
		{
			"mix:DIR/sets.yaml", "[cat dog x]",
			[]int32{0, 0, 1, 2},
			[]string{"animals/cat/1.jpg", "animals/cat/2.jpg", "animals/dog/1.jpg", "1/x/2.jpg"},
			[]int64{2, 2},
		},
	} {
		t.Run(tc.uri, func(t *testing.T) {
			src := openMixture(t, strings.ReplaceAll(tc.uri, "DIR", dir))
			m := src.Manifest()
			if got := fmt.Sprint(m.Classes); got != tc.classes {
				t.Errorf("classes %s, want %s", got, tc.classes)
			}
			spec := m.Spec()
			for c, set := range spec.Mix {
				if set.Draws != tc.draws[c] {
					t.Errorf("%d draws from set %d, want %d", set.Draws, c, tc.draws[c])
				}
			}
			// Each sample has every id that equals it modulo n.
			for id := range spec.Samples * spec.Repeats() {
				var s schemas.Sample
				if err := src.Read(t.Context(), id, &s); err != nil {
					t.Fatal(err)
				}
				if i := id % spec.Samples; s.ID != id || s.Key != tc.keys[i] || s.Label != tc.labels[i] {
					t.Errorf("sample %d is %d, %s, label %d; want %s, label %d", id, s.ID, s.Key, s.Label, tc.keys[i], tc.labels[i])
				}
				if err := Confirm(t.Context(), src, &s); err != nil {
					t.Errorf("confirm %d: %v", id, err)
				}
			}
			if l := LabellingOf(src); l.Without != int64(strings.Count(fmt.Sprint(tc.labels), "-1")) {
				t.Errorf("%d samples without a label: %v", l.Without, tc.labels)
			}
		})
	}
}

// Weights are of a mixture's identity, and so are its sets and their order; what they are
// divided by is not.
func TestMixtureDigest(t *testing.T) {
	dir := mixedTrees(t)
	digest := func(uri string) string {
		return openMixture(t, strings.ReplaceAll(uri, "DIR", dir)).Manifest().Digest()
	}
	base := digest("mix:3*folder:DIR/a+1*folder:DIR/b")
	if got := digest("mix:0.75*folder:DIR/a+0.25*folder:DIR/b"); got != base {
		t.Error("3:1 is not 0.75:0.25")
	}
	for _, other := range []string{"mix:1*folder:DIR/a+3*folder:DIR/b", "mix:1*folder:DIR/b+3*folder:DIR/a", "mix:3*folder:DIR/a+1*folder:DIR/c"} {
		if digest(other) == base {
			t.Errorf("%s has the digest of another mixture", other)
		}
	}
}

func TestMixtureVerify(t *testing.T) {
	dir := mixedTrees(t)
	src := openMixture(t, "mix:1*folder:"+dir+"/a+1*folder:"+dir+"/b")
	if s := src.Survey(); len(s) != 1 || s[0].First != "1/eel/notes.txt" {
		t.Errorf("survey %v", s)
	}
	writeTree(t, dir, map[string][]byte{"b/eel/1.jpg": append(jpegBytes(t, 12, 8), 0)})
	rep, err := Verify(t.Context(), src, VerifyOptions{})
	if err != nil || len(rep.Damaged) != 1 || rep.Damaged[0].Shard != "1/eel" || rep.Damaged[0].File != "1.jpg" {
		t.Errorf("verify: %+v, %v", rep, err)
	}
	var s schemas.Sample
	err = src.Read(t.Context(), 4, &s)
	if !errors.Is(err, errs.ErrMismatch) || !strings.Contains(err.Error(), "set 1") {
		t.Errorf("a changed file: %v", err)
	}
}

func TestMixtureErrors(t *testing.T) {
	dir := mixedTrees(t)
	file := func(name, text string) string {
		writeTree(t, dir, map[string][]byte{name: []byte(text)})
		return filepath.Join(dir, name)
	}
	a, b := "folder:"+dir+"/a", "folder:"+dir+"/b"
	many := slices.Repeat([]string{"1*" + a}, schemas.MaxMixedSets+1)
	for _, tc := range []struct {
		name, uri, says string
		is              error
	}{
		{"empty", "mix:", "neither a set with a weight nor a YAML file", errs.ErrUsage},
		{"no weights", "mix:" + a + "+" + b, "neither a set with a weight", errs.ErrUsage},
		{"one set", "mix:1*" + a, "1 sets, not 2 to 64", errs.ErrUsage},
		{"too many", "mix:" + strings.Join(many, "+"), "65 sets", errs.ErrUsage},
		{"weight of words", "mix:half*" + a + "+1*" + b, `the weight "half" is no number`, errs.ErrUsage},
		{"weight 0", "mix:0*" + a + "+1*" + b, "weight 0, which is not above 0", errs.ErrUsage},
		{"weight below 0", "mix:-1*" + a + "+1*" + b, "weight -1", errs.ErrUsage},
		{"weight NaN", "mix:NaN*" + a + "+1*" + b, "weight NaN", errs.ErrUsage},
		{"weight infinite", "mix:Inf*" + a + "+1*" + b, "weight +Inf", errs.ErrUsage},
		{"no draw", "mix:1e-9*" + a + "+1*" + b, "no draw of an epoch of 5 samples", errs.ErrUsage},
		{"within itself", "mix:1*mix:x.yaml+1*" + b, "is a mixture", errs.ErrUsage},
		{"unknown scheme", "mix:1*fodler:x+1*" + b, "set 0 of the mixture", errs.ErrUsage},
		{"absent set", "mix:1*" + a + "+1*folder:" + dir + "/absent", "set 1 of the mixture", errs.ErrNotFound},
		{"absent file", "mix:" + dir + "/absent.yaml", "absent.yaml", errs.ErrNotFound},
		{"no sets", "mix:" + file("none.yaml", "sets: []\n"), "0 sets", errs.ErrUsage},
		{"unknown key", "mix:" + file("key.yaml", "sets:\n- {data: x, wieght: 1}\n"), "wieght", errs.ErrUsage},
		{"not YAML", "mix:" + file("bad.yaml", "sets: [\n"), "bad.yaml", errs.ErrUsage},
		{"no data", "mix:" + file("data.yaml", "sets:\n- {weight: 1}\n- {data: 'folder:a', weight: 1}\n"), "set 0 has no data", errs.ErrUsage},
		{"some weights", "mix:" + file("some.yaml", "sets:\n- {data: 'folder:a'}\n- {data: 'folder:b', weight: 1}\n"), "1 of 2 sets have a weight", errs.ErrUsage},
		{"equal names", "mix:" + file("names.yaml", "sets:\n- {data: 'folder:a', name: x}\n- {data: 'folder:b', name: x}\n"), "two sets are called x", errs.ErrUsage},
		{"name of a number", "mix:" + file("number.yaml", "sets:\n- {data: 'folder:a', name: '1'}\n- {data: 'folder:b'}\n"), "two sets are called 1", errs.ErrUsage},
		{"name with a slash", "mix:" + file("slash.yaml", "sets:\n- {data: 'folder:a', name: a/b}\n- {data: 'folder:b'}\n"), `"a/b"`, errs.ErrUsage},
		{"too large", "mix:" + file("large.yaml", strings.Repeat("#\n", 1<<16)), "bytes", errs.ErrTooLarge},
	} {
		t.Run(tc.name, func(t *testing.T) {
			src, err := Open(context.Background(), tc.uri, Options{CacheDir: t.TempDir()})
			if err == nil {
				src.Close()
				t.Fatal("opened")
			}
			if !errors.Is(err, tc.is) || !strings.Contains(err.Error(), tc.says) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%q, want %q and %v", err, tc.says, tc.is)
			}
		})
	}
}
