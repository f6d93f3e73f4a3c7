package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"resslt/augment"
	"resslt/batcher/broker"
	"resslt/batcher/runs"
	"resslt/batcher/stream"
	"resslt/batcher/wire"
	"resslt/cmd/internal/cores"
	"resslt/cmd/internal/pipeline"
	"resslt/ingest"
	"resslt/schemas"
	"resslt/train/recipe"
)

// maxRSS is what augmentd may take in this test, bytes. It needs a tenth; a chunk of the
// hostile runs' is a terabyte.
const maxRSS = 1 << 30

// TestHostileRuns: runs that ask for more memory than there is, whole with tasks, do not disturb a
// worker that serves a good one beside them.
func TestHostileRuns(t *testing.T) {
	b, err := broker.Start(broker.Options{StoreDir: t.TempDir(), Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	nc, js, err := broker.Connect(t.Context(), broker.ConnectOptions{Broker: b})
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	spec, uri := goodSpec(t)
	evil := 0
	for _, change := range []func(*schemas.RunSpec){
		func(s *schemas.RunSpec) { s.BatchSize, s.ChunkSamples = 1<<40, 1<<40 },
		func(s *schemas.RunSpec) { s.BatchSize, s.ChunkSamples = math.MaxInt, math.MaxInt },
		func(s *schemas.RunSpec) { s.Views[0].Size = 1 << 31 },
		func(s *schemas.RunSpec) { s.Views[0].Size, s.Views[1].Size, s.ChunkSamples = 1024, 1024, 1<<20 },
		func(s *schemas.RunSpec) { s.ChunkSamples = 0 },
		func(s *schemas.RunSpec) { s.StepsPerEpoch = 0 },
		func(s *schemas.RunSpec) { s.Epochs = -1 },
		func(s *schemas.RunSpec) { s.Order = "blocked:shards=4096,window=16777216" },
	} {
		bad := spec
		bad.Views = append([]schemas.ViewSpec(nil), spec.Views...)
		bad.Dataset.Samples = 1 << 41
		change(&bad)
		openByHand(t, js, fmt.Sprintf("a-evil-%d", evil), bad, uri) // before the good one, by name
		evil++
	}
	run, err := runs.Open(t.Context(), js, "good", spec, runs.Options{DataURI: uri})
	if err != nil {
		t.Fatal(err)
	}
	order, err := pipeline.Order(&spec)
	if err != nil {
		t.Fatal(err)
	}
	p := start(t, []string{"NATS_URL=" + b.URL(), "NATS_TOKEN=" + b.Token()}, "--cache", t.TempDir())
	s, err := stream.Open(t.Context(), run, order, stream.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for range spec.Steps() {
		batch, err := s.Next(t.Context())
		if err != nil {
			t.Fatalf("%v\n%s", err, p.rest.String())
		}
		batch.Release()
	}
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for p.log.Scan() {
	}
	if err := p.Wait(); err != nil {
		t.Errorf("%v\n%s", err, p.rest.String())
	}
	if rss := p.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10; rss > maxRSS {
		t.Errorf("it took %d MiB", rss>>20)
	}
	for i := range evil {
		if name := fmt.Sprintf("a-evil-%d", i); !bytes.Contains(p.rest.Bytes(), []byte(name)) {
			t.Errorf("it does not say what is wrong with %s:\n%s", name, p.rest.String())
		}
	}
}

// goodSpec is a small run over a few images.
func goodSpec(t *testing.T) (schemas.RunSpec, string) {
	t.Helper()
	dir := t.TempDir()
	for i := range 16 {
		img := image.NewRGBA(image.Rect(0, 0, 32, 32))
		img.Set(i, i, color.White)
		f, err := os.Create(filepath.Join(dir, fmt.Sprintf("%02d.png", i)))
		if err != nil {
			t.Fatal(err)
		}
		if err := png.Encode(f, img); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	r := recipe.Default()
	if err := r.Set("data=folder:"+dir, "policy=small", "image_size=32", "batch_size=8", "epochs=2", "engine="+augment.DefaultEngine().Name()); err != nil {
		t.Fatal(err)
	}
	if err := r.Resolve(pipeline.Host(cores.Cores{Count: 1}, r.Data)); err != nil {
		t.Fatal(err)
	}
	data, err := ingest.Open(t.Context(), r.Data, ingest.Options{Split: r.Split})
	if err != nil {
		t.Fatal(err)
	}
	defer data.Close()
	spec, err := pipeline.Spec(&r, data.Manifest())
	if err != nil {
		t.Fatal(err)
	}
	return spec, r.Data
}

// openByHand makes a run with a task, as a client of its own would: without what Open checks.
func openByHand(t *testing.T, js jetstream.JetStream, name string, spec schemas.RunSpec, uri string) {
	t.Helper()
	for _, cfg := range []jetstream.StreamConfig{
		{Name: schemas.CtrlStream(name), Subjects: []string{schemas.AllCtrl(name)}, MaxMsgsPerSubject: 1},
		{Name: schemas.TasksStream(name), Subjects: []string{schemas.AllTasks(name)}, Retention: jetstream.WorkQueuePolicy},
		{Name: schemas.BatchStream(name), Subjects: []string{schemas.AllChunks(name)}},
	} {
		if _, err := js.CreateStream(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := js.CreateConsumer(t.Context(), schemas.TasksStream(name), jetstream.ConsumerConfig{
		Durable: schemas.WorkersConsumer, FilterSubject: schemas.AllTasks(name), AckPolicy: jetstream.AckExplicitPolicy,
	}); err != nil {
		t.Fatal(err)
	}
	info, err := json.Marshal(&schemas.RunInfo{Spec: spec, Digest: spec.Digest(), DataURI: uri})
	if err != nil {
		t.Fatal(err)
	}
	task, err := wire.EncodeTask(name, spec.Digest(), &wire.Task{Rows: []wire.TaskRow{{}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.PublishMsg(t.Context(), task); err != nil {
		t.Fatal(err)
	}
	for subject, body := range map[string][]byte{
		schemas.SpecSubject(name):    info,
		schemas.OptionsSubject(name): []byte(`{"DataURI":"` + uri + `"}`),
	} {
		if _, err := js.Publish(t.Context(), subject, body); err != nil {
			t.Fatal(err)
		}
	}
}
