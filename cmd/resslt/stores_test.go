package main

import (
	"os"
	"slices"
	"strings"
	"testing"

	"resslt/ingest/store/storetest"
)

// A web server whose answers go wrong costs a run time, or ends it with one line: its weights
// are those of the calm run, and no sample is replaced. (cmd/internal/faults has all faults.)
func TestRunFromAFaultyServer(t *testing.T) {
	needTorch(t)
	t.Parallel()
	srv := storetest.StartWeb(t, true)
	data := imageTar(t, 24, 48, func(int) string { return "1" })
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
