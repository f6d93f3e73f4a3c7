package wandb

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"resslt/cmd/internal/tensorboard"
	"resslt/cmd/internal/track"
	"resslt/schemas/errs"
)

func begun(t *testing.T, out, id string) (*service, string) {
	t.Helper()
	s, name, err := New("", func(key string) string { return map[string]string{"WANDB_ENTITY": "team"}[key] })
	if err != nil || name != "wandb:resslt" {
		t.Fatal(name, err)
	}
	r := &track.Run{
		Name: "mine", Notes: "a claim", Out: out, Config: []track.Setting{{Key: "tau_t", Value: 0.04}, {Key: "knn_k", Value: []int{200, 20}}},
		Facts: []track.Setting{{Key: "build", Value: "0.1.0"}}, Commit: "2f3c9a1b04de55", Host: "box", Started: time.Unix(1_700_000_000, 0),
	}
	got, err := s.Begin(t.Context(), r, id)
	if err != nil {
		t.Fatal(err)
	}
	return s.(*service), got
}

func point(step int64, tag string) track.Point {
	return track.Point{Step: step, Epoch: 0.5, Time: time.Unix(1_700_000_060, 0), Values: []tensorboard.Scalar{{Tag: tag, Value: float64(step) / 8}}}
}

// shown is a record as text: its kind, and of a row its values.
func shown(t *testing.T, record []byte) string {
	t.Helper()
	kind, _ := kindOf(record)
	if kind != kindHistory {
		return map[protowire.Number]string{
			kindHeader: "header", kindRun: "run", kindMetric: "metric", kindSummary: "summary", kindFiles: "files", kindExit: "exit", kindFooter: "footer",
		}[kind]
	}
	values := map[string]any{}
	for _, f := range fields(t, fields(t, record)[kindHistory][0])[historyItem] {
		i := fields(t, f)
		var v any
		if err := json.Unmarshal(i[itemJSON][0], &v); err != nil {
			t.Fatal(err)
		}
		values[string(i[itemKey][0])] = v
	}
	delete(values, "_timestamp")
	delete(values, "_runtime")
	raw, err := json.Marshal(values)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// fields are a message's fields of bytes.
func fields(t *testing.T, m []byte) map[protowire.Number][][]byte {
	t.Helper()
	out := map[protowire.Number][][]byte{}
	for len(m) > 0 {
		field, wire, n := protowire.ConsumeTag(m)
		size := protowire.ConsumeFieldValue(field, wire, m[max(n, 0):])
		if n < 0 || size < 0 {
			t.Fatal("no message")
		}
		if wire == protowire.BytesType {
			b, _ := protowire.ConsumeBytes(m[n:])
			out[field] = append(out[field], b)
		}
		m = m[n+size:]
	}
	return out
}

// A run of three sessions, of which the first is killed and the second ends: one file, rows in
// order, one exit, at its end.
func TestSessions(t *testing.T) {
	out := t.TempDir()
	s, id := begun(t, out, "")
	if err := s.Log(t.Context(), []track.Point{point(8, "loss/total"), point(16, "loss/total")}); err != nil {
		t.Fatal(err)
	}
	// Killed: nothing is closed, and half a record is there.
	half := appendRecord(nil, s.log.size, []byte("half a record"))
	if _, err := s.log.f.WriteAt(half[:10], s.log.size); err != nil {
		t.Fatal(err)
	}

	s, _ = begun(t, out, id)
	if err := s.Log(t.Context(), []track.Point{point(8, "knn/top1_k20")}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.End(t.Context(), track.Outcome{Status: track.Interrupted}), s.Close()); err != nil {
		t.Fatal(err)
	}

	s, _ = begun(t, out, id)
	report := filepath.Join(out, "report.html")
	if err := os.WriteFile(report, []byte("page"), 0o644); err != nil {
		t.Fatal(err)
	}
	o := track.Outcome{Status: track.Finished, Summary: []track.Setting{{Key: "final_loss", Value: 1.5}}, Files: []string{report, filepath.Join(out, "none")}}
	if err := errors.Join(s.Log(t.Context(), []track.Point{point(24, "loss/total")}), s.End(t.Context(), o), s.Close()); err != nil {
		t.Fatal(err)
	}

	var got []string
	var run []byte
	for i, r := range readLog(t, s.file(id)) {
		got = append(got, shown(t, r))
		if num, n := protowire.ConsumeVarint(r[1:]); n < 0 || num != uint64(i+1) {
			t.Errorf("record %d has number %d", i+1, num)
		}
		if got[i] == "run" {
			run = fields(t, r)[kindRun][0]
		}
	}
	want := []string{
		"header", "run", "metric", "metric",
		`{"_step":0,"epoch":0.5,"loss/total":1,"trainer/global_step":8}`,
		`{"_step":1,"epoch":0.5,"loss/total":2,"trainer/global_step":16}`,
		`{"_step":2,"epoch":0.5,"knn/top1_k20":1,"trainer/global_step":8}`,
		`{"_step":3,"epoch":0.5,"loss/total":3,"trainer/global_step":24}`,
		"summary", "files", "exit", "footer",
	}
	if !slices.Equal(got, want) {
		t.Errorf("records\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	f := fields(t, run)
	if string(f[runID][0]) != id || string(f[runProject][0]) != "resslt" || string(f[runEntity][0]) != "team" || string(f[runName][0]) != "mine" ||
		string(f[runTags][0]) != "commit:2f3c9a1b04de" || len(fields(t, f[runConfig][0])[configUpdate]) != 3 {
		t.Errorf("run record %q", run)
	}
	if raw, err := os.ReadFile(filepath.Join(s.dir, "files", "report.html")); err != nil || string(raw) != "page" {
		t.Errorf("kept %q, %v", raw, err)
	}
	if folders, _ := filepath.Glob(filepath.Join(out, Folder, "*")); len(folders) != 1 {
		t.Errorf("folders %v", folders)
	}
}

// A run whose folder has gone is not begun again in silence.
func TestFolderGone(t *testing.T) {
	s, _, err := New("", os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Begin(t.Context(), &track.Run{Out: t.TempDir()}, "0badcafe"); !errors.Is(err, errs.ErrNotFound) {
		t.Errorf("it gives %v", err)
	}
}
