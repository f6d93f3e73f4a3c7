package main

import (
	"archive/tar"
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"os"
	"slices"
	"strings"
	"testing"

	"resslt/ingest/store/storetest"
)

// pictureTar is a shard of n JPEGs of one class.
func pictureTar(t *testing.T, n int) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	put := func(name string, b []byte) {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(b)), Format: tar.FormatUSTAR}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		m := image.NewRGBA(image.Rect(0, 0, 48, 40))
		for y := range 40 {
			for x := range 48 {
				m.Set(x, y, color.RGBA{uint8(x*5 + i*7), uint8(y*6 + i*13), uint8(i * 29), 255})
			}
		}
		var b bytes.Buffer
		if err := jpeg.Encode(&b, m, nil); err != nil {
			t.Fatal(err)
		}
		put(fmt.Sprintf("%05d.jpg", i), b.Bytes())
		put(fmt.Sprintf("%05d.cls", i), []byte("1"))
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// A web server whose answers go wrong costs a run time, or ends it with one line: its weights
// are those of the calm run, and no sample is replaced. (cmd/internal/faults has all faults.)
func TestRunFromAFaultyServer(t *testing.T) {
	needTorch(t)
	t.Parallel()
	srv := storetest.StartWeb(t, true)
	data := pictureTar(t, 24)
	run := func(t *testing.T, part, fault string, when storetest.When) outcome {
		uri := "wds:" + srv.Put(part+"/train-000.tar", data)
		if fault != "" {
			all := storetest.Faults()
			i := slices.IndexFunc(all, func(f storetest.Fault) bool { return f.Name == fault })
			srv.Inject(part, &all[i], when)
		}
		args := []string{"run", "--recipe", "images", "--data", uri, "--out", t.TempDir(), "--cache-bytes", "0", "--json"}
		for _, kv := range []string{"image_size=32", "epochs=2", "batch_size=8", "K=16", "width=8", "eval=[none]"} {
			args = append(args, "--set", kv)
		}
		return resslt(t, args...)
	}
	o := run(t, "calm", "", storetest.When{})
	if o.code != 0 {
		t.Fatalf("the calm run: exit %d: %s", o.code, o.stderr)
	}
	calm := printed(t, o)
	for _, tc := range []struct {
		fault string
		when  storetest.When
		stops string // what its line says; "": it goes on
	}{
		{"range ignored", storetest.When{Op: storetest.Read, First: 8, Every: 5}, ""},
		{"status 404", storetest.When{Op: storetest.Read, First: 8, Every: 5}, ""},
		{"status 403", storetest.From(storetest.Read, 12), "token has expired"},
	} {
		t.Run(tc.fault, func(t *testing.T) {
			t.Parallel()
			if tc.stops != "" && os.Getenv("RESSLT_FAULTS") != "all" {
				t.Skip("it takes a minute, for all its attempts: make faults")
			}
			part := strings.ReplaceAll(tc.fault, " ", "-")
			o := run(t, part, tc.fault, tc.when)
			if srv.Hits(part) == 0 {
				t.Error("no fault was met")
			}
			if tc.stops == "" {
				if o.code != 0 {
					t.Fatalf("exit %d: %s", o.code, o.stderr)
				}
				sum := printed(t, o)
				sameWeights(t, tc.fault, sum, calm)
				if sum.SamplesReplaced != 0 {
					t.Errorf("%d samples replaced", sum.SamplesReplaced)
				}
				return
			}
			lines := strings.Split(strings.TrimSpace(o.stderr), "\n")
			last := lines[len(lines)-1]
			if o.code != 1 || !strings.Contains(last, "train-000.tar") || !strings.Contains(last, tc.stops) {
				t.Errorf("exit %d, last line %q", o.code, last)
			}
		})
	}
}
