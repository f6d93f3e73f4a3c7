package observe

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	stdlog "log"
	"log/slog"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/spf13/pflag"

	"resslt/augment"
	"resslt/batcher/broker"
	"resslt/batcher/produce"
	"resslt/batcher/runs"
	"resslt/batcher/stream"
	"resslt/batcher/wire"
	"resslt/batcher/worker"
	"resslt/cmd/internal/console"
	"resslt/schemas"
	"resslt/schemas/errs"
)

// blank is a Source of black pixels.
type blank struct{ stages *Stages }

func (blank) At(_, index int64) int64            { return index }
func (b blank) Order() wire.Order                { return b }
func (b blank) NewMaker() (produce.Maker, error) { return b, nil }
func (blank) Close() error                       { return nil }
func (b blank) Make(_ context.Context, _ wire.TaskRow, _, plans [][]byte) (produce.Made, error) {
	b.stages.Read(time.Millisecond)
	for v := range plans {
		plans[v] = append(plans[v][:0], 'p')
	}
	return produce.Made{}, nil
}

func spec() schemas.RunSpec {
	return schemas.RunSpec{
		Version: schemas.SpecVersion,
		Dataset: schemas.DatasetSpec{Digest: "d0", Format: "folder", Split: "train", Samples: 40},
		Order:   "global", Policy: "{}", Engine: "blank/1", Seed: 1,
		BatchSize: 10, Epochs: 1, StepsPerEpoch: 4, ChunkSamples: 5, OnError: schemas.Replace,
		Views: []schemas.ViewSpec{{Name: "weak", Role: schemas.Teacher, Size: 8}, {Name: "strong", Role: schemas.Student, Size: 8}},
	}
}

// TestMetrics trains on a real broker and scrapes by HTTP: every line of the table is
// there, and nothing of ours that is not in the table; the counts are the truth.
func TestMetrics(t *testing.T) {
	b, err := broker.Start(broker.Options{StoreDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	nc, js, err := broker.Connect(t.Context(), broker.ConnectOptions{Broker: b})
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	run, err := runs.Open(t.Context(), js, "r", spec(), runs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	registry := NewRegistry()
	stages := NewStages(registry)
	w, err := worker.New(stages.JetStream(js), worker.Options{
		Workers: 1,
		Open:    func(context.Context, *schemas.RunInfo) (produce.Source, error) { return blank{stages}, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	Connection(registry, js)
	Worker(registry, w, 1)
	stream, err := stream.Open(t.Context(), run, blank{}, stream.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	trainer := NewTrainer(registry, run, stream)
	var notReady error
	s, err := Listen("127.0.0.1:0", registry, func() error { return notReady }, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 2)
	go func() { served <- s.Serve(ctx) }()

	// Nobody makes anything yet: the wait that goes on shows.
	next := make(chan error, 1)
	go func() {
		batch, err := stream.Next(ctx)
		if err == nil {
			batch.Release()
		}
		next <- err
	}()
	for start := time.Now(); value(t, s, TrainerWait) < 0.05; time.Sleep(10 * time.Millisecond) {
		if time.Since(start) > 5*time.Second {
			t.Fatal("a trainer that starves does not show")
		}
	}
	go func() { served <- w.ServeRun(ctx, "r") }()
	if err := <-next; err != nil {
		t.Fatal(err)
	}
	trainer.Observe(1, 10)
	if got := value(t, s, "resslt_trainer_loss"); !math.IsNaN(got) { // 0 would be a collapse
		t.Errorf("the loss is %v before a step is logged", got)
	}
	trainer.ObserveLoss(2.5)
	trainer.ObserveScore("knn_k200", 61.5)
	for step := int64(2); step <= 4; step++ {
		batch, err := stream.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		batch.Release()
		trainer.Observe(step, 10)
	}
	for name, want := range map[string]float64{
		"resslt_trainer_step": 4, "resslt_trainer_steps": 4, "resslt_trainer_samples_total": 40, "resslt_trainer_loss": 2.5,
		`resslt_trainer_probe_top1{probe="knn_k200",run="r"}`: 61.5,
		"resslt_trainer_chunks_total":                         8, "resslt_worker_chunks_total": 8, "resslt_worker_samples_total": 40, "resslt_worker_slots": 1,
		"resslt_broker_connected": 1, WindowSteps: float64(run.Window()), "resslt_trainer_digest_mismatches_total": 0,
		`resslt_worker_stage_seconds_count{stage="read"}`: 40, `resslt_worker_stage_seconds_count{stage="publish"}`: 8,
	} {
		if got := value(t, s, name); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	checkTable(t, registry)

	for path, want := range map[string]int{"/healthz": 200, "/readyz": 200, "/": 404, "/debug/pprof/": 404} {
		if got, _ := get(t, s, path); got != want {
			t.Errorf("%s answers %d, want %d", path, got, want)
		}
	}
	notReady = errs.New("resslt", "", "wait", errs.Because(errs.ErrUnavailable, "its broker is away"))
	if code, text := get(t, s, "/readyz"); code != 503 || !strings.Contains(text, "its broker is away") {
		t.Errorf("/readyz answers %d %q", code, text)
	}
	if code, _ := get(t, s, "/healthz"); code != 200 {
		t.Errorf("/healthz answers %d while its broker is away", code)
	}
	stop()
	for range 2 {
		if err := <-served; err != nil {
			t.Error(err)
		}
	}
	if r, err := http.Get("http://" + s.Addr() + "/healthz"); err == nil {
		r.Body.Close()
		t.Error("it answers after its end")
	}
}

// checkTable holds what is registered against the table.
func checkTable(t *testing.T, registry *prometheus.Registry) {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]string{}
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "resslt_") {
			continue
		}
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, l.GetName())
		}
		have[f.GetName()] = fmt.Sprintf("%s %v %s", strings.ToLower(f.GetType().String()), labels, f.GetHelp())
	}
	for _, m := range Table {
		if got, want := have[m.Name], fmt.Sprintf("%s %v %s", m.Kind, m.Labels, m.Help); got != want {
			t.Errorf("%s is %q, the table says %q", m.Name, got, want)
		}
		delete(have, m.Name)
	}
	for name := range have {
		t.Errorf("%s is not in the table", name)
	}
	for _, want := range []string{"process_resident_memory_bytes", "go_goroutines"} {
		if !slices.ContainsFunc(families, func(f *dto.MetricFamily) bool { return f.GetName() == want }) {
			t.Errorf("%s is missing", want)
		}
	}
}

func get(t *testing.T, s *Server, path string) (int, string) {
	t.Helper()
	r, err := http.Get("http://" + s.Addr() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(body)
}

// value scrapes one series; a name without labels is that of a family with one.
func value(t *testing.T, s *Server, series string) float64 {
	t.Helper()
	_, text := get(t, s, "/metrics")
	for l := range strings.Lines(text) {
		name, v, _ := strings.Cut(strings.TrimSpace(l), "} ")
		if name += "}"; v == "" {
			name, v, _ = strings.Cut(strings.TrimSpace(l), " ")
		}
		if family, _, _ := strings.Cut(name, "{"); name == series || family == series {
			var f float64
			if _, err := fmt.Sscan(v, &f); err != nil {
				t.Fatalf("%q: %v", l, err)
			}
			return f
		}
	}
	t.Fatalf("no %s in\n%s", series, text)
	return 0
}

func TestListenRefuses(t *testing.T) {
	s, err := Listen("127.0.0.1:0", NewRegistry(), func() error { return nil }, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer s.listener.Close()
	for addr, kind := range map[string]error{"9464": errs.ErrUsage, s.Addr(): errs.ErrUnavailable} {
		if _, err := Listen(addr, NewRegistry(), nil, slog.New(slog.DiscardHandler)); !errors.Is(err, kind) || !strings.Contains(err.Error(), addr) {
			t.Errorf("%s: %v, want %v", addr, err, kind)
		}
	}
}

// What net/http and other libraries print has the form of the log, a line for each.
func TestLibrariesLog(t *testing.T) {
	usual, output, flag := slog.Default(), stdlog.Writer(), stdlog.Flags()
	t.Cleanup(func() { slog.SetDefault(usual); stdlog.SetOutput(output); stdlog.SetFlags(flag) })
	var out bytes.Buffer
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	console.Register(fs)
	if err := fs.Parse([]string{"--log", "json"}); err != nil {
		t.Fatal(err)
	}
	log, err := console.FormOf(fs).Logger(&out)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Listen("127.0.0.1:0", NewRegistry(), func() error { panic("of the test") }, log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx) }()
	if r, err := http.Get("http://" + s.Addr() + "/readyz"); err == nil {
		r.Body.Close()
		t.Errorf("it answers %d", r.StatusCode)
	}
	stop()
	if err := <-served; err != nil {
		t.Error(err)
	}
	stdlog.Print("of a library")
	var says []string
	for line := range strings.Lines(out.String()) {
		var rec struct{ Level, Msg string }
		if err := json.Unmarshal([]byte(line), &rec); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		says = append(says, rec.Level+" "+rec.Msg)
	}
	if len(says) != 2 || !strings.HasPrefix(says[0], "WARN http: panic serving") || says[1] != "INFO of a library" {
		t.Errorf("the log is %q", says)
	}
}

// TestTimedEngine: the pixels are the engine's own, and each sample counts once.
func TestTimedEngine(t *testing.T) {
	registry := prometheus.NewRegistry()
	stages := NewStages(registry)
	policy, err := augment.Preset("small")
	if err != nil {
		t.Fatal(err)
	}
	picture := &schemas.Sample{ID: 1, Key: "grey", Width: 32, Height: 32, Encoding: schemas.RawRGB, Data: bytes.Repeat([]byte{10, 90, 200}, 32*32)}
	var pixels [2][][]byte
	for i, e := range []augment.Engine{augment.DefaultEngine(), stages.Engine(augment.DefaultEngine())} {
		r, err := augment.NewRenderer(e, policy)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			pixels[i] = nil
			for _, v := range policy.Views {
				pixels[i] = append(pixels[i], make([]byte, 3*v.Size*v.Size))
			}
			if _, err := r.Render(picture, augment.Key{Seed: 1}, pixels[i], nil); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for v := range pixels[0] {
		if !bytes.Equal(pixels[0][v], pixels[1][v]) {
			t.Fatalf("view %d differs when it is timed", v)
		}
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range families[0].GetMetric() {
		want := uint64(0)
		if stage := m.GetLabel()[0].GetValue(); stage == "decode" || stage == "render" {
			want = 3
		}
		if got := m.GetHistogram().GetSampleCount(); got != want {
			t.Errorf("%v counts %d samples, want %d", m.GetLabel(), got, want)
		}
	}
}
