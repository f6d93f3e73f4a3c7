package web

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"resslt/augment"
	"resslt/batcher/runs"
	"resslt/batcher/stream"
	"resslt/cmd/internal/figure"
	"resslt/cmd/internal/online"
	"resslt/cmd/internal/sheet"
	"resslt/schemas"
	"resslt/train"
	"resslt/train/recipe"
)

// hostile is a name that would be a script if anything forgot to escape it.
const hostile = `<img src=x onerror=alert(1)>"'&`

// training is a run's folder that grows.
type training struct {
	t    testing.TB
	dir  string
	step int64
}

func write(t testing.TB, path string, raw []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, raw, 0o644); err != nil {
		t.Fatal(err)
	}
}

// begin makes the folder of a run that has made no step.
func begin(t testing.TB, dir string) *training {
	t.Helper()
	r, err := recipe.Load("smoke")
	if err == nil {
		r.Claim = hostile
		r.Epochs = 40
		err = r.Resolve(recipe.Host{Threads: 1})
	}
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "recipe.yaml"), r.YAML())
	return &training{t: t, dir: dir}
}

// steps appends lines to the run's metrics.
func (r *training) steps(n int) *training {
	r.t.Helper()
	f, err := os.OpenFile(filepath.Join(r.dir, "metrics.jsonl"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		r.t.Fatal(err)
	}
	defer f.Close()
	for range n {
		r.step++
		x := float64(r.step)
		std, entropy, agree := 0.05+0.02*math.Tanh(x/50), 6*math.Exp(-x/300), 0.5
		l := train.MetricsLine{Step: r.step, Epoch: x / 10, Loss: 5 + 3*math.Exp(-x/40), LR: 0.06 * (1 + math.Cos(x/200)) / 2, M: 0.99, Alpha: 1, ImagesPerSecond: 900 + 50*math.Sin(x), DataWait: 0.03}
		l.EmbeddingStd, l.TargetEntropy, l.Agreement, l.Relation = &std, &entropy, &agree, &l.Loss
		if err := json.NewEncoder(f).Encode(l); err != nil {
			r.t.Fatal(err)
		}
	}
	return r
}

// scored adds a kNN score with neighbours.
func (r *training) scored(epoch int64) *training {
	r.t.Helper()
	lines, err := online.ReadFile(r.dir, online.KNNFile)
	if err != nil {
		r.t.Fatal(err)
	}
	var b bytes.Buffer
	for _, l := range append(lines, online.Scores{Step: 10 * epoch, Epoch: epoch, KNN: map[string]float64{"k20": 50 + float64(epoch), "k200": 45}}) {
		_ = json.NewEncoder(&b).Encode(l)
	}
	write(r.t, filepath.Join(r.dir, online.KNNFile), b.Bytes())
	picture := func(class int, id int64) figure.Picture {
		return figure.Picture{Pixels: bytes.Repeat([]byte{byte(40 * class), 90, byte(id)}, 28*28), Size: 28, Class: class, Name: "class " + hostile, ID: id, Cosine: 0.9}
	}
	rows, err := figure.Keep([]figure.Row{{Query: picture(1, 7), Near: []figure.Picture{picture(1, epoch), picture(2, 100)}}})
	if err != nil {
		r.t.Fatal(err)
	}
	raw, _ := json.Marshal(online.Neighbours{Step: 10 * epoch, Epoch: epoch, Rows: rows})
	write(r.t, filepath.Join(r.dir, online.NeighboursFolder, fmt.Sprintf("step-%08d.json", 10*epoch)), raw)
	return r
}

// lively is a process that trains, as far as a page asks it.
type lively struct {
	asked atomic.Int64
	mu    sync.Mutex
	now   Now
	views *Views
}

func (l *lively) Now() Now {
	l.asked.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now
}

func (l *lively) Views() *Views { return l.views }

// process is a run of this process, in the middle of its training.
func process(t testing.TB) *lively {
	t.Helper()
	of := []schemas.ViewSpec{{Name: "weak", Role: schemas.Teacher, Size: 8}, {Name: "strong", Role: schemas.Student, Size: 8}}
	plans := make([]augment.Plan, 2)
	for i := range plans {
		plans[i] = augment.Plan{SrcW: 28, SrcH: 28, Box: augment.Box{X: i, W: 20, H: 20}, Size: 8}
	}
	v := &Views{Of: of}
	for i := range 3 {
		v.Slots = append(v.Slots, sheet.Slot{
			Step: 41, Slot: int32(i), Sample: int64(1000 + i), Planned: 5, Label: 3, Reason: hostile, Plans: plans,
			Pixels: [][]byte{bytes.Repeat([]byte{200, 30, byte(80 * i)}, 64), bytes.Repeat([]byte{20, 130, 90}, 64)},
		})
	}
	return &lively{views: v, now: Now{
		Phase: "training", Begun: true, Step: 41, Steps: 200, Remaining: 90 * time.Second, Notices: []string{hostile},
		Queue:   &Queue{Stats: stream.Stats{Chunks: 40, Bytes: 9e6, BufferedSteps: 2, Issued: 60, Waited: 2 * time.Second, Tombstoned: 1}, Window: 16, Buffered: 9},
		Workers: []runs.Heartbeat{{Worker: "w" + hostile, Workers: 2, Time: time.Now(), State: "serving", WorkerStats: runs.WorkerStats{Chunks: 39, Rate: 812}, Trouble: hostile}},
	}}
}

// serve serves until the test's end, or until end is called.
func serve(t *testing.T, o Options) (s *Server, end func()) {
	t.Helper()
	if o.Addr == "" {
		o.Addr = ":0"
	}
	o.Log = slog.New(slog.DiscardHandler)
	s, err := Listen(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx) }()
	end = sync.OnceFunc(func() {
		stop()
		select {
		case err := <-served:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(20 * time.Second):
			t.Error("the server does not end")
		}
	})
	t.Cleanup(end)
	return s, end
}

// looker reads a view's events.
type looker struct {
	t     *testing.T
	close func()
	in    *bufio.Reader
	parts map[string]string
	order []string
	last  []string // ids of the parts that the last event had
}

func look(t *testing.T, s *Server, path string) *looker {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.Addr()+"/events"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if answer.StatusCode != http.StatusOK || answer.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%s: %s", path, answer.Status)
	}
	l := &looker{t: t, in: bufio.NewReaderSize(answer.Body, 1<<20), parts: map[string]string{}}
	l.close = sync.OnceFunc(func() { cancel(); answer.Body.Close() })
	t.Cleanup(l.close)
	return l
}

// next reads the next event and gives its kind: "" for parts, "end", or "closed".
func (l *looker) next() string {
	l.t.Helper()
	kind := ""
	for {
		line, err := l.in.ReadString('\n')
		if err != nil {
			return "closed"
		}
		line = strings.TrimSuffix(line, "\n")
		if name, ok := strings.CutPrefix(line, "event: "); ok {
			kind = name
		}
		data, ok := strings.CutPrefix(line, "data: ")
		if !ok {
			continue
		}
		if kind != "" {
			return kind
		}
		var u update
		if err := json.Unmarshal([]byte(data), &u); err != nil {
			l.t.Fatalf("%v: %.200s", err, data)
		}
		l.last = nil
		for id, html := range u.Parts {
			l.parts[id] = html
			l.last = append(l.last, id)
		}
		l.order = u.Order
		return ""
	}
}

// until reads events until a part has a text.
func (l *looker) until(id, text string) {
	l.t.Helper()
	late := time.AfterFunc(20*time.Second, l.close)
	defer late.Stop()
	for !strings.Contains(l.parts[id], text) {
		if kind := l.next(); kind != "" {
			l.t.Fatalf("%s before %s has %q: %.2000s", kind, id, text, l.parts[id])
		}
	}
}

func get(t *testing.T, url string, change func(*http.Request)) (int, string, http.Header) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(r)
	}
	answer, err := (&http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	raw, _ := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	return answer.StatusCode, string(raw), answer.Header
}
