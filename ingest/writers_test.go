package ingest

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"resslt/schemas"
)

// written is a line of bench/writers/tars.py: a set that a tool has written.
type written struct {
	Writer, Version, Option, Path, Expect string
	Samples                               int
	Rows                                  [][3]any        // name, label, hash of the image; sorted by name
	WebDataset                            json.RawMessage // such rows, as webdataset reads them, or why it does not
}

// Tars by Python's tarfile, GNU tar and bsdtar, and by webdataset where Python has it:
// what was put in is read, with its labels, or refused by name.
//
// RESSLT_WRITERS_PYTHON names another Python, with webdataset.
func TestWritersOfTars(t *testing.T) {
	python := cmp.Or(os.Getenv("RESSLT_WRITERS_PYTHON"), "python3")
	if _, err := exec.LookPath(python); err != nil {
		t.Skip("needs Python 3:", err)
	}
	var complaints bytes.Buffer
	cmd := exec.Command(python, "../bench/writers/tars.py", t.TempDir())
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, &complaints)
	}
	t.Log(complaints.String()) // what is not installed
	seen := map[string]int{}
	dec := json.NewDecoder(bytes.NewReader(out))
	for dec.More() {
		var w written
		if err := dec.Decode(&w); err != nil {
			t.Fatal(err)
		}
		seen[w.Writer]++
		t.Run(w.Writer+"/"+w.Option, func(t *testing.T) { checkWritten(t, w) })
	}
	t.Log("sets read:", seen)
	if seen["tarfile"] == 0 {
		t.Error("Python's tarfile has written nothing")
	}
}

func checkWritten(t *testing.T, w written) {
	ctx := context.Background()
	src, err := Open(ctx, "wds:"+w.Path, Options{CacheDir: t.TempDir()})
	if w.Expect != "read" {
		if err == nil || !strings.Contains(err.Error(), w.Expect) {
			t.Errorf("error %v, want %q", err, w.Expect)
		}
		checkOneLine(t, err)
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	var got, want []string
	images := map[string]bool{}
	var s schemas.Sample
	for id := range src.Len() {
		if err := src.Read(ctx, id, &s); err != nil {
			t.Fatal(err)
		}
		label := fmt.Sprint(s.Label)
		if c := src.Manifest().Classes; len(c) > 0 {
			label = c[s.Label]
		}
		shard := src.Manifest().Shards[src.(*wdsSource).x.shardOf(id)].Name
		sum := hexSum(sha256.Sum256(s.Data))
		got = append(got, fmt.Sprintf("%s %s %s", strings.TrimPrefix(s.Key, shard+"/"), label, sum))
		images[label+" "+sum] = true
	}
	for _, r := range w.Rows {
		want = append(want, fmt.Sprintf("%s %v %s", r[0], r[1], r[2]))
	}
	slices.Sort(got)
	slices.Sort(want)
	same(t, "samples", got, want)

	// WebDataset may lose labels and links, but has no sample or label that is not here.
	var theirs [][3]any
	if err := json.Unmarshal(w.WebDataset, &theirs); err != nil {
		return // it has not read them
	}
	for _, r := range theirs {
		if r[1] != nil && !images[fmt.Sprintf("%v %v", r[1], r[2])] {
			t.Errorf("webdataset reads %v with label %v, which is not among\n%s", r[0], r[1], strings.Join(got, "\n"))
		}
	}
}

// The cases that the project was given as examples, where they are there.
func TestTarCases(t *testing.T) {
	dir := filepath.Join(filepath.Dir(realData(t)), "cases")
	if _, err := os.Stat(filepath.Join(dir, "tar_labels_lost.py")); errors.Is(err, os.ErrNotExist) {
		t.Skip("no cases in " + dir)
	}
	out := t.TempDir()
	python := cmp.Or(os.Getenv("RESSLT_WRITERS_PYTHON"), "python3")
	cmd := exec.Command(python, "-B", filepath.Join(dir, "tar_labels_lost.py"), out)
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("the case's script needs Python with PIL: %v: %s", err, b)
	}
	for _, name := range []string{"appledouble", "unsorted"} {
		got, _ := list(t, "wds:"+filepath.Join(out, name), Options{})
		if len(got) != 24 {
			t.Fatalf("%s: %d samples", name, len(got))
		}
		for i, s := range got {
			if !strings.HasSuffix(s, fmt.Sprint(" ", i%4)) {
				t.Errorf("%s: sample %q, want label %d", name, s, i%4)
			}
		}
	}
}
