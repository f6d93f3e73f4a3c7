package knnprobe

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"resslt/cmd/internal/cores"
	"resslt/cmd/internal/tensorboard"
	"resslt/schemas/bounded"
	"resslt/schemas/durable"
	"resslt/schemas/errs"
	"resslt/train"
	"resslt/train/eval"
	"resslt/train/recipe"
)

// File holds a run's scores, a Line each.
const File = "knn.jsonl"

// Line is the score of the encoder after Step steps.
type Line struct {
	Step    int64              `json:"step"`
	Epoch   int64              `json:"epoch"`
	KNN     map[string]float64 `json:"knn_top1"` // percent, by "k200"
	Seconds float64            `json:"seconds"`  // that it took
}

// String is the line for people: "kNN top-1 after epoch 5: k20 61.30 %, k200 58.12 %".
func (l *Line) String() string {
	var parts []string
	for _, k := range slices.SortedFunc(maps.Keys(l.KNN), func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) }) {
		parts = append(parts, fmt.Sprintf("%s %.2f %%", k, l.KNN[k]))
	}
	return fmt.Sprintf("kNN top-1 after epoch %d: %s", l.Epoch, strings.Join(parts, ", "))
}

// probeNice is the priority of the probe's process: training goes first.
const probeNice = 10

// Probe scores snapshots of the encoder.
type Probe struct {
	Options
	ctx  context.Context
	work string // folder of the snapshot that is being scored

	mu      sync.Mutex
	waiting *train.EncoderSnapshot // guarded by mu
	running bool                   // a goroutine scores what waits; guarded by mu
	done    sync.WaitGroup         // of that goroutine
}

// Options are what a probe needs.
type Options struct {
	Recipe *recipe.Recipe // resolved: data, splits, k, T
	// HoldOut is how many images of the recipe's probe split make one that is held out to score
	// on; 0: the recipe's split for that.
	HoldOut int
	Out     string // folder of the run
	From    int64  // scores of later steps are dropped: those steps are trained again
	// Plot receives every score for TensorBoard, Warn what went wrong, Note the scores and what
	// was left out, each as a line. They are called from the probe's goroutine, Note also from Take's.
	Plot func(step int64, values ...tensorboard.Scalar)
	Warn func(error)
	Note func(string)
}

// Start prepares a probe. It scores until ctx ends; the caller closes it.
func Start(ctx context.Context, o Options) (*Probe, error) {
	p := &Probe{Options: o, ctx: ctx, work: filepath.Join(o.Out, ".knn")}
	if err := os.MkdirAll(p.work, 0o755); err != nil {
		return nil, durable.Error(p.work, err)
	}
	lines, err := Read(o.Out)
	if err != nil {
		return nil, err
	}
	if err := dropNeighbours(o.Out, o.From); err != nil {
		return nil, durable.Error(o.Out, err)
	}
	return p, p.rewrite(lines, o.From)
}

// maxBytes bounds the file of scores, which has some 100 bytes for each.
const maxBytes = 64 << 20

// Read reads the scores in a run's folder, oldest first; none where there is no file.
func Read(out string) (lines []Line, err error) {
	path := filepath.Join(out, File)
	raw, err := bounded.ReadFile(path, maxBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, errs.New("read", path, "make it readable", errs.BecauseErr(errs.ErrUnavailable, err))
	}
	for row := range bytes.Lines(raw) {
		var l Line
		if json.Unmarshal(row, &l) != nil {
			break // the last line of a process that was killed
		}
		lines = append(lines, l)
	}
	return lines, nil
}

// rewrite keeps the scores of steps up to from.
func (p *Probe) rewrite(lines []Line, from int64) error {
	return durable.Replace(filepath.Join(p.Out, File), func(w io.Writer) error {
		e := json.NewEncoder(w)
		for _, l := range lines {
			if l.Step > from {
				continue
			}
			if err := e.Encode(l); err != nil {
				return err
			}
		}
		return nil
	})
}

// Take receives a snapshot from the training loop, which does not wait for its score.
func (p *Probe) Take(s train.EncoderSnapshot) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if old := p.waiting; old != nil {
		p.Note(fmt.Sprintf("kNN of epoch %d left out: scoring takes longer than training; raise knn_every or lower eval_images", old.Epoch))
	}
	p.waiting = &s
	if !p.running {
		p.running = true
		p.done.Add(1)
		go p.scoreAll()
	}
	return nil
}

// scoreAll scores the snapshot that waits until there is none.
func (p *Probe) scoreAll() {
	defer p.done.Done()
	for {
		p.mu.Lock()
		s := p.waiting
		p.waiting = nil
		if s == nil || p.ctx.Err() != nil {
			p.running = false
			p.mu.Unlock()
			return
		}
		p.mu.Unlock()
		if err := p.score(s); err != nil && p.ctx.Err() == nil {
			p.Warn(err)
		}
	}
}

// score scores a snapshot and keeps the result.
func (p *Probe) score(s *train.EncoderSnapshot) error {
	began := time.Now()
	file, near := filepath.Join(p.work, "encoder.safetensors"), filepath.Join(p.work, "neighbours.json")
	if err := s.Write(file); err != nil {
		return err
	}
	result, err := p.run(file, near)
	if err != nil {
		return err
	}
	line := Line{Step: s.Step, Epoch: s.Epoch, KNN: map[string]float64{}, Seconds: time.Since(began).Seconds()}
	var values []tensorboard.Scalar
	for _, score := range result.Scores {
		k := strings.TrimPrefix(score.Name, "top1_")
		line.KNN[k] = score.Value
		values = append(values, tensorboard.Scalar{Tag: "knn/top1_" + k, Value: score.Value})
	}
	p.Plot(s.Step, values...)
	p.Note(line.String())
	if err := p.keepNeighbours(&line, near); err != nil {
		p.Warn(err)
	}
	lines, err := Read(p.Out)
	if err != nil {
		return err
	}
	return p.rewrite(append(lines, line), s.Step)
}

// run scores an encoder's file with `resslt eval knn`, which writes neighbours to near.
func (p *Probe) run(file, near string) (result eval.Result, err error) {
	fail := func(err error) (eval.Result, error) {
		return result, errs.New("kNN while training", file, "run `resslt eval knn` by hand to see what is wrong", errs.BecauseErr(errs.ErrUnavailable, err))
	}
	exe, err := os.Executable()
	if err != nil {
		return fail(err)
	}
	r := p.Recipe
	var ks []string
	for _, k := range r.KNNK {
		ks = append(ks, strconv.Itoa(k))
	}
	args := []string{
		"eval", "knn", "--checkpoint", file, "--data", r.Data,
		"--split", r.ProbeSplit, "--eval-split", r.EvalSplit, "--max-images", strconv.Itoa(r.EvalImages),
		"--k", strings.Join(ks, ","), "--temperature", strconv.FormatFloat(r.KNNTemperature, 'g', -1, 64),
		"--device", r.Device, "--threads", strconv.Itoa(max(1, cores.Count()-r.Threads)), "--out", "-", "--json",
		"--neighbours", near,
	}
	if p.HoldOut > 0 {
		args = append(args, "--hold-out", strconv.Itoa(p.HoldOut))
	}
	c := exec.CommandContext(p.ctx, exe, args...)
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C goes to the trainer alone, which stops its probe itself
	if err := c.Start(); err != nil {
		return fail(err)
	}
	_ = syscall.Setpriority(syscall.PRIO_PROCESS, c.Process.Pid, probeNice) // best effort: it may have ended
	if err := c.Wait(); err != nil {
		lines := strings.Split(strings.TrimSpace(errs.String()), "\n")
		return fail(fmt.Errorf("%w: %s", err, lines[len(lines)-1]))
	}
	lines := bytes.Split(bytes.TrimSpace(out.Bytes()), []byte("\n"))
	if err := json.Unmarshal(lines[len(lines)-1], &result); err != nil {
		return fail(err)
	}
	return result, nil
}

// Close waits for the scores that are still due, unless ctx has ended.
func (p *Probe) Close() {
	p.done.Wait()
	if err := os.RemoveAll(p.work); err != nil {
		p.Warn(durable.Error(p.work, err))
	}
}
