package mlflow

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"resslt/cmd/internal/tensorboard"
	"resslt/cmd/internal/track"
	"resslt/schemas/errs"
)

// server answers as MLflow does what this package asks of it, and checks the requests' limits.
// `make trackers` has the same against MLflow itself.
type server struct {
	t         *testing.T
	user      string // who must log in; "": nobody
	refuse    int    // status of the next answer; 0: as it should be
	params    map[string]string
	tags      map[string]string
	metrics   map[string][]metric
	status    string
	artifacts map[string]string
	runs      int
}

func newServer(t *testing.T) (*server, *httptest.Server) {
	s := &server{t: t, params: map[string]string{}, tags: map[string]string{}, metrics: map[string][]metric{}, artifacts: map[string]string{}}
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	return s, h
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	refuse := func(status int, code string) {
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"error_code":%q,"message":"no"}`, code)
	}
	if user, _, _ := r.BasicAuth(); user != s.user {
		refuse(http.StatusUnauthorized, "UNAUTHENTICATED")
		return
	}
	if status := s.refuse; status != 0 {
		s.refuse = 0
		w.WriteHeader(status)
		return
	}
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		s.t.Error(err)
	}
	if name, ok := strings.CutPrefix(r.URL.Path, "/under/api/2.0/mlflow-artifacts/artifacts/"); ok && r.Method == http.MethodPut {
		s.artifacts[name] = string(raw)
		return
	}
	var body struct {
		Name    string   `json:"name"`
		RunName string   `json:"run_name"`
		Status  string   `json:"status"`
		Params  []pair   `json:"params"`
		Tags    []pair   `json:"tags"`
		Metrics []metric `json:"metrics"`
	}
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &body); err != nil {
			s.t.Error(err)
		}
	}
	if bytes.Contains(raw, []byte(":null")) { // of which MLflow 3.17 makes a 500
		s.t.Errorf("%s has a null: %s", r.URL.Path, raw)
	}
	if len(body.Metrics) > 1000 || len(body.Params) > 100 || len(body.Tags) > 100 {
		s.t.Errorf("a batch of %d metrics, %d params, %d tags", len(body.Metrics), len(body.Params), len(body.Tags))
	}
	for _, p := range body.Tags {
		s.tags[p.Key] = p.Value
	}
	const run = `{"run":{"info":{"run_id":"r1","artifact_uri":"mlflow-artifacts:/7/r1/artifacts"},"data":{"params":%s}}}`
	switch call := r.Method + " " + strings.TrimPrefix(r.URL.Path, "/under/api/2.0/mlflow/"); call {
	case "GET experiments/get-by-name":
		refuse(http.StatusNotFound, codeMissing)
	case "POST experiments/create":
		fmt.Fprint(w, `{"experiment_id":"7"}`)
	case "POST runs/create":
		s.runs++
		fmt.Fprintf(w, run, "[]")
	case "GET runs/get":
		var have []pair
		for k, v := range s.params {
			have = append(have, pair{k, v})
		}
		raw, _ := json.Marshal(have)
		fmt.Fprintf(w, run, raw)
	case "POST runs/update":
		s.status = body.Status
		fmt.Fprint(w, "{}")
	case "POST runs/log-batch":
		for _, p := range body.Params {
			if was, ok := s.params[p.Key]; ok && was != p.Value {
				refuse(http.StatusBadRequest, "INVALID_PARAMETER_VALUE")
				return
			}
			s.params[p.Key] = p.Value
		}
		for _, m := range body.Metrics {
			s.metrics[m.Key] = append(s.metrics[m.Key], m)
		}
		fmt.Fprint(w, "{}")
	default:
		s.t.Errorf("called %s", call)
	}
}

func described(t *testing.T, out string, epochs int) *track.Run {
	r := &track.Run{Name: "mine", Notes: "a claim", Out: out, Commit: "2f3c", Started: time.Now(), Facts: []track.Setting{{Key: "host", Value: "box"}}}
	for i := range 150 {
		r.Config = append(r.Config, track.Setting{Key: fmt.Sprintf("key%03d", i), Value: i})
	}
	r.Config = append(r.Config, track.Setting{Key: "long", Value: strings.Repeat("é", 600)}, track.Setting{Key: "epochs", Value: epochs})
	return r
}

func opened(t *testing.T, h *httptest.Server, env map[string]string) track.Service {
	t.Helper()
	s, name, err := New(h.URL+"/under/", func(key string) string { return env[key] })
	if err != nil || name != "mlflow:"+h.URL+"/under#resslt" {
		t.Fatal(name, err)
	}
	return s
}

// Two sessions of one run, the second with another number of epochs, which a parameter cannot
// follow.
func TestSessions(t *testing.T) {
	s, h := newServer(t)
	out := t.TempDir()
	c := opened(t, h, nil)
	id, err := c.Begin(t.Context(), described(t, out, 5), "")
	if err != nil || id != "r1" {
		t.Fatal(id, err)
	}
	var points []track.Point
	for step := range int64(700) { // more than a batch has room for
		points = append(points, track.Point{Step: step, Time: time.Now(), Values: []tensorboard.Scalar{{Tag: "loss/total", Value: 2}, {Tag: "schedule/lr", Value: 0.5}}})
	}
	if err := errors.Join(c.Log(t.Context(), points), c.Close()); err != nil {
		t.Fatal(err)
	}
	c = opened(t, h, nil)
	if id, err := c.Begin(t.Context(), described(t, out, 9), "r1"); err != nil || id != "r1" || s.status != "RUNNING" {
		t.Fatal(id, err, s.status)
	}
	report := filepath.Join(out, "report.html")
	if err := os.WriteFile(report, []byte("page"), 0o644); err != nil {
		t.Fatal(err)
	}
	err = c.End(t.Context(), track.Outcome{
		Status: track.Finished, Time: time.Now(), Files: []string{report, filepath.Join(out, "none")},
		Summary: []track.Setting{{Key: "knn_top1", Value: 61.5}, {Key: "student_sha256", Value: "abc"}},
	})
	if err := errors.Join(err, c.Close()); err != nil {
		t.Fatal(err)
	}
	if s.runs != 1 || s.status != "FINISHED" || len(s.params) != 152 || s.params["epochs"] != "5" || len(s.metrics["loss/total"]) != 700 || len(s.metrics["schedule/lr"]) != 700 ||
		s.metrics["summary/knn_top1"][0].Value != 61.5 || s.tags["resslt.student_sha256"] != "abc" || s.tags["mlflow.source.git.commit"] != "2f3c" ||
		s.tags["resslt.host"] != "box" || s.artifacts["7/r1/artifacts/report.html"] != "page" || len(s.artifacts) != 1 {
		t.Errorf("%d runs, %s, %d params, %d losses, tags %v, artifacts %v", s.runs, s.status, len(s.params), len(s.metrics["loss/total"]), s.tags, s.artifacts)
	}
	if v := s.params["long"]; len(v) > mostValue || !strings.HasSuffix(v, "é…") {
		t.Errorf("a long value is %q", v)
	}
}

// What passes, what does not, and what a user is told of it.
func TestRefusals(t *testing.T) {
	s, h := newServer(t)
	c := opened(t, h, nil)
	for status, kind := range map[int]error{500: errs.ErrUnavailable, 503: errs.ErrUnavailable, 429: errs.ErrUnavailable, 404: errs.ErrUnsupported, 403: errs.ErrDenied} {
		s.refuse = status
		if _, err := c.Begin(t.Context(), described(t, "", 1), ""); !errors.Is(err, kind) {
			t.Errorf("%d gives %v", status, err)
		}
	}
	s.user = "me"
	if _, err := c.Begin(t.Context(), described(t, "", 1), ""); !errors.Is(err, errs.ErrDenied) || !strings.Contains(err.Error(), "MLFLOW_TRACKING_USERNAME") {
		t.Errorf("without a user: %v", err)
	}
	c = opened(t, h, map[string]string{"MLFLOW_TRACKING_USERNAME": "me", "MLFLOW_TRACKING_PASSWORD": "secret"})
	if _, err := c.Begin(t.Context(), described(t, "", 1), ""); err != nil {
		t.Errorf("logged in: %v", err)
	}
	h.Close()
	if err := c.Log(t.Context(), []track.Point{{Values: []tensorboard.Scalar{{Tag: "loss", Value: 1}}}}); !errors.Is(err, errs.ErrUnavailable) || strings.Contains(err.Error(), "secret") {
		t.Errorf("a server that is gone: %v", err)
	}
}

func TestNoServer(t *testing.T) {
	none := func(string) string { return "" }
	for _, at := range []string{"", "host:5000", "sqlite:///mlruns.db", "/srv/mlruns", "http://"} {
		if _, _, err := New(at, none); !errors.Is(err, errs.ErrUsage) {
			t.Errorf("%q gives %v", at, err)
		}
	}
	_, name, err := New("", func(key string) string {
		return map[string]string{"MLFLOW_TRACKING_URI": "https://me:secret@host", "MLFLOW_EXPERIMENT_NAME": "e"}[key]
	})
	if err != nil || name != "mlflow:https://host#e" {
		t.Errorf("%q, %v", name, err)
	}
}
