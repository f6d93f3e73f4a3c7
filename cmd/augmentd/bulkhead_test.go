package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"resslt/augment"
	"resslt/batcher/broker"
	"resslt/batcher/runs"
	"resslt/batcher/stream"
	"resslt/cmd/internal/pipeline"
	"resslt/cmd/internal/pipeline/pipelinetest"
	"resslt/ingest"
	"resslt/schemas"
)

// pictures writes a folder of small pictures in two classes.
func pictures(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for i := range 16 {
		m := image.NewRGBA(image.Rect(0, 0, 24, 24))
		for p := range 24 * 24 {
			m.Set(p%24, p/24, color.RGBA{uint8(p * i), uint8(p >> 1), uint8(i * 16), 255})
		}
		var b bytes.Buffer
		if err := png.Encode(&b, m); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, fmt.Sprint("class", i%2), fmt.Sprintf("%02d.png", i))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// specOf is a run of four epochs of two batches.
func specOf(t *testing.T, dir string) schemas.RunSpec {
	t.Helper()
	src, err := ingest.Open(t.Context(), "folder:"+dir, ingest.Options{CacheDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	policy, err := augment.Preset("small")
	if err != nil {
		t.Fatal(err)
	}
	return schemas.RunSpec{
		Version: schemas.SpecVersion, Dataset: src.Manifest().Spec(), Order: "global", Policy: policy.Canonical(),
		Engine: augment.DefaultEngine().Name(), Seed: 1, BatchSize: 8, Views: policy.ViewSpecs(),
		Epochs: 4, StepsPerEpoch: 2, ChunkSamples: 4, OnError: schemas.Replace,
	}
}

func digest(b *schemas.Batch) string {
	h := sha256.New()
	fmt.Fprint(h, b.Step, b.Samples, b.Labels)
	for _, p := range b.Pixels {
		h.Write(p) // a hash never fails
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

// calm gives the digests of a run's batches, made in this process.
func calm(t *testing.T, info *schemas.RunInfo) (out []string) {
	t.Helper()
	for _, b := range pipelinetest.Calm(t, info) {
		out = append(out, digest(b))
	}
	return out
}

// silent accepts connections, and never says a word.
func silent(t *testing.T) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var conns sync.WaitGroup
	conns.Go(func() {
		var held []net.Conn
		for {
			c, err := l.Accept()
			if err != nil {
				break
			}
			held = append(held, c)
		}
		for _, c := range held {
			c.Close()
		}
	})
	t.Cleanup(func() { l.Close(); conns.Wait() })
	return l.Addr().String()
}

// trickling answers at once, and then gives a few bytes a second.
func trickling(t *testing.T) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1000000")
		w.Header().Set("Accept-Ranges", "bytes")
		w.Header().Set("ETag", `"1"`)
		if r.Method == http.MethodHead {
			return
		}
		if r.Header.Get("Range") != "" {
			w.Header().Set("Content-Range", "bytes 0-999999/1000000")
			w.WriteHeader(http.StatusPartialContent)
		}
		for {
			if _, err := w.Write([]byte{0}); err != nil {
				return
			}
			w.(http.Flusher).Flush()
			select {
			case <-r.Context().Done():
				return
			case <-time.After(100 * time.Millisecond):
			}
		}
	})}
	var served sync.WaitGroup
	served.Go(func() { _ = s.Serve(l) })               // until Close
	t.Cleanup(func() { _ = s.Close(); served.Wait() }) // ends its connections
	return l.Addr().String()
}

// TestHungStores: beside runs whose stores hang, trickle or are no files, a run gets the batches
// that it should; the others are named in the log, once, and in the metrics; and the worker ends
// in good order.
func TestHungStores(t *testing.T) {
	b, err := broker.Start(broker.Options{StoreDir: t.TempDir(), Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	nc, js, err := broker.Connect(t.Context(), broker.ConnectOptions{Broker: b, Token: b.Token()})
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	dir := pictures(t)
	spec := specOf(t, dir)
	fifo := filepath.Join(t.TempDir(), "x.tar")
	if err := syscall.Mkfifo(fifo, 0o644); err != nil {
		t.Fatal(err)
	}
	bad := map[string]string{
		"silent": "wds:http://" + silent(t) + "/train-0.tar", "trickling": "wds:http://" + trickling(t) + "/train-0.tar",
		"fifo": "wds:" + fifo, "nowhere": "folder:" + filepath.Join(dir, "nowhere"),
	}
	for name, uri := range bad {
		s := spec
		s.Seed = uint64(len(uri)) + 10
		if _, err := runs.Open(t.Context(), js, name, s, runs.Options{DataURI: uri}); err != nil {
			t.Fatal(err)
		}
	}
	p := start(t, []string{"NATS_URL=" + b.URL(), "NATS_TOKEN=" + b.Token()}, "--metrics", "127.0.0.1:0", "--grace", "5s", "--open-timeout", "1s", "--cache", t.TempDir())
	at := "http://" + p.await(t, "metrics", "address")
	p.await(t, "serving", "worker")
	var lines []string // of the log, from here on
	logged := make(chan struct{})
	go func() {
		defer close(logged)
		for p.log.Scan() {
			lines = append(lines, p.log.Text())
		}
	}()

	run, err := runs.Open(t.Context(), js, "good", spec, runs.Options{DataURI: "folder:" + dir})
	if err != nil {
		t.Fatal(err)
	}
	order, err := pipeline.Order(&spec)
	if err != nil {
		t.Fatal(err)
	}
	s, err := stream.Open(t.Context(), run, order, stream.Options{StallTimeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var got []string
	for range spec.Steps() {
		batch, err := s.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, digest(batch))
		batch.Release()
	}
	if !slices.Equal(got, calm(t, &run.Info)) {
		t.Error("the batches of the good run are others")
	}
	for name := range bad {
		awaitMetric(t, at, fmt.Sprintf(`resslt_worker_run_state{run="%s",state="quarantined"} 1`, name))
	}
	awaitMetric(t, at, `resslt_worker_run_state{run="good",state="serving"} 1`)
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-logged
	if err := p.Wait(); err != nil {
		t.Errorf("it ended with %v:\n%s", err, strings.Join(lines, "\n"))
	}
	for name, uri := range bad {
		n := 0
		_, path, _ := strings.Cut(uri, ":")
		for _, line := range lines {
			var rec struct{ Level, Msg string }
			if err := json.Unmarshal([]byte(line), &rec); err != nil {
				t.Fatalf("a log line is no JSON: %q", line)
			}
			if rec.Level == "WARN" && strings.Contains(rec.Msg, "run "+name+":") && strings.Contains(rec.Msg, path) {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%s is in %d warnings:\n%s", name, n, strings.Join(lines, "\n"))
		}
	}
}

// awaitMetric scrapes until a line is there.
func awaitMetric(t *testing.T, at, want string) {
	t.Helper()
	var body []byte
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		r, err := http.Get(at + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		body, err = io.ReadAll(r.Body)
		r.Body.Close()
		if err == nil && bytes.Contains(body, []byte("\n"+want+"\n")) {
			return
		}
	}
	ours := slices.DeleteFunc(strings.Split(string(body), "\n"), func(s string) bool { return !strings.HasPrefix(s, "resslt_worker_run") })
	t.Errorf("%s does not come:\n%s", want, strings.Join(ours, "\n"))
}
