package mlflow

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"resslt/cmd/internal/track"
	"resslt/schemas/bounded"
	"resslt/schemas/errs"
)

// Limits of a request (MLflow's documentation of log-batch), and of a parameter's value in older
// servers.
const (
	mostMetrics = 1000
	mostParams  = 100
	mostValue   = 500
)

// service is a run on a server.
type service struct {
	*client
	experiment string // its name
	run        string // id, "" before Begin
	artifacts  string // where the run's artifacts are
}

// New prepares to track on a server: "" is that of MLFLOW_TRACKING_URI. name is what people call
// it, without secrets. Nothing is sent yet. It returns ErrUsage for what is no server's address.
func New(server string, getenv func(string) string) (s track.Service, name string, err error) {
	server = cmp.Or(server, getenv("MLFLOW_TRACKING_URI"))
	u, err := url.Parse(server)
	if server == "" || err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		why := "no server is named"
		if server != "" {
			why = "it is no http or https address"
		}
		return nil, "", errs.New("", "--track mlflow:URI", "give --track mlflow:http://HOST:PORT, or set MLFLOW_TRACKING_URI so", errs.Because(errs.ErrUsage, why))
	}
	c := newClient(u, getenv)
	experiment := cmp.Or(getenv("MLFLOW_EXPERIMENT_NAME"), "resslt")
	return &service{client: c, experiment: experiment}, "mlflow:" + c.base.String() + "#" + experiment, nil
}

// pair is a tag or a parameter.
type pair struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

type runInfo struct {
	ID        string `json:"run_id"`
	Artifacts string `json:"artifact_uri"`
}

type runAnswer struct {
	Run struct {
		Info runInfo `json:"info"`
		Data struct {
			Params []pair `json:"params"`
		} `json:"data"`
	} `json:"run"`
}

func (s *service) Begin(ctx context.Context, r *track.Run, id string) (string, error) {
	var a runAnswer
	var err error
	if id == "" {
		if a, err = s.create(ctx, r); err != nil {
			return "", err
		}
	} else {
		if _, err := s.call(ctx, "runs/get", url.Values{"run_id": {id}}, nil, &a); err != nil {
			return "", err
		}
		if _, err := s.call(ctx, "runs/update", nil, map[string]any{"run_id": id, "status": "RUNNING"}, nil); err != nil {
			return "", err
		}
	}
	s.run, s.artifacts = a.Run.Info.ID, a.Run.Info.Artifacts
	if err := s.describe(ctx, r, a.Run.Data.Params); err != nil {
		return s.run, err
	}
	return s.run, nil
}

// create makes the experiment, where there is none of the name, and a run of it.
func (s *service) create(ctx context.Context, r *track.Run) (a runAnswer, err error) {
	experiment, err := s.experimentID(ctx)
	if err != nil {
		return a, err
	}
	_, err = s.call(ctx, "runs/create", nil, map[string]any{
		"experiment_id": experiment, "run_name": r.Name, "start_time": r.Started.UnixMilli(), "tags": tags(r),
	}, &a)
	return a, err
}

func (s *service) experimentID(ctx context.Context) (string, error) {
	var found struct {
		Experiment struct {
			ID string `json:"experiment_id"`
		} `json:"experiment"`
	}
	for range 2 {
		code, err := s.call(ctx, "experiments/get-by-name", url.Values{"experiment_name": {s.experiment}}, nil, &found)
		if err == nil {
			return found.Experiment.ID, nil
		}
		if code != codeMissing {
			return "", err
		}
		var made struct {
			ID string `json:"experiment_id"`
		}
		code, err = s.call(ctx, "experiments/create", nil, map[string]any{"name": s.experiment}, &made)
		if err == nil {
			return made.ID, nil
		}
		if code != codeExists { // else another run has just made it
			return "", err
		}
	}
	return "", errs.New("track", "experiment "+s.experiment, "restore it on the MLflow server, or name another by MLFLOW_EXPERIMENT_NAME",
		errs.Because(errs.ErrUnsupported, "it was deleted there"))
}

func tags(r *track.Run) []pair {
	out := []pair{{"mlflow.note.content", r.Notes}, {"mlflow.source.name", "resslt"}, {"mlflow.source.type", "LOCAL"}}
	if r.Commit != "" {
		out = append(out, pair{"mlflow.source.git.commit", r.Commit})
	}
	for _, t := range r.Facts {
		out = append(out, pair{"resslt." + t.Key, value(t.Value)})
	}
	return out
}

// describe logs the parameters that the run has not yet, and the session's tags.
func (s *service) describe(ctx context.Context, r *track.Run, have []pair) error {
	known := map[string]bool{}
	for _, p := range have {
		known[p.Key] = true
	}
	var params []pair
	for _, c := range r.Config {
		if !known[c.Key] {
			params = append(params, pair{c.Key, value(c.Value)})
		}
	}
	about := tags(r)
	for first := true; first || len(params) > 0; first = false {
		n := min(len(params), mostParams)
		if err := s.logBatch(ctx, batch{Params: params[:n], Tags: about}); err != nil {
			return err
		}
		params, about = params[n:], nil
	}
	return nil
}

// batch is what one request logs. MLflow fails on null for a list, so that an empty one is left out.
type batch struct {
	Run     string   `json:"run_id"`
	Params  []pair   `json:"params,omitempty"`
	Tags    []pair   `json:"tags,omitempty"`
	Metrics []metric `json:"metrics,omitempty"`
}

func (s *service) logBatch(ctx context.Context, b batch) error {
	if len(b.Params)+len(b.Tags)+len(b.Metrics) == 0 {
		return nil
	}
	b.Run = s.run
	_, err := s.call(ctx, "runs/log-batch", nil, b, nil)
	return err
}

// value is a value as a parameter or tag has it: text of a bounded length.
func value(v any) string {
	text := fmt.Sprint(v)
	if len(text) <= mostValue {
		return text
	}
	text = text[:mostValue-len("…")]
	for !utf8.ValidString(text) {
		text = text[:len(text)-1]
	}
	return text + "…"
}

type metric struct {
	Key   string  `json:"key"`
	Value float64 `json:"value"`
	Time  int64   `json:"timestamp"` // milliseconds
	Step  int64   `json:"step"`
}

func (s *service) Log(ctx context.Context, points []track.Point) error {
	var b batch
	send := func() error {
		err := s.logBatch(ctx, b)
		b.Metrics = b.Metrics[:0]
		return err
	}
	for _, p := range points {
		if len(b.Metrics)+len(p.Values) > mostMetrics {
			if err := send(); err != nil {
				return err
			}
		}
		for _, v := range p.Values {
			b.Metrics = append(b.Metrics, metric{v.Tag, v.Value, p.Time.UnixMilli(), p.Step})
		}
	}
	return send()
}

// statuses are MLflow's. An interrupted run is killed as long as nobody resumes it.
var statuses = map[track.Status]string{track.Finished: "FINISHED", track.Failed: "FAILED", track.Interrupted: "KILLED"}

func (s *service) End(ctx context.Context, o track.Outcome) error {
	var b batch
	for _, v := range o.Summary {
		switch x := v.Value.(type) {
		case float64:
			b.Metrics = append(b.Metrics, metric{"summary/" + v.Key, x, o.Time.UnixMilli(), 0})
		default:
			b.Tags = append(b.Tags, pair{"resslt." + v.Key, value(x)})
		}
	}
	if err := s.logBatch(ctx, b); err != nil {
		return err
	}
	for _, path := range o.Files {
		if err := s.upload(ctx, path); err != nil {
			return err
		}
	}
	_, err := s.call(ctx, "runs/update", nil, map[string]any{"run_id": s.run, "status": statuses[o.Status], "end_time": o.Time.UnixMilli()}, nil)
	return err
}

// upload keeps a file with the run, where the server takes artifacts.
func (s *service) upload(ctx context.Context, path string) error {
	at, err := url.Parse(s.artifacts)
	if err != nil || at.Scheme != "mlflow-artifacts" {
		return nil // the store is the client's own to write to, as a bucket: the file stays in the folder
	}
	f, err := bounded.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return errs.New("track", path, "make it readable", errs.BecauseErr(errs.ErrNotFound, err))
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return errs.New("track", path, "make it readable", errs.BecauseErr(errs.ErrNotFound, err))
	}
	return s.put(ctx, strings.Trim(at.Path, "/")+"/"+filepath.Base(path), info.Size(), f)
}

func (s *service) Close() error {
	s.http.CloseIdleConnections()
	return nil
}
