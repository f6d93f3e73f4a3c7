package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"resslt/cmd/internal/cores"
	"resslt/cmd/internal/tensorboard"
	"resslt/schemas/durable"
	"resslt/schemas/errs"
	"resslt/train"
	"resslt/train/eval"
	"resslt/train/recipe"
)

// knnFile holds the scores of a run's snapshots, a line each (knnLine).
const knnFile = "knn.jsonl"

// knnLine is the score of the encoder after Step steps.
type knnLine struct {
	Step    int64              `json:"step"`
	Epoch   int64              `json:"epoch"`
	KNN     map[string]float64 `json:"knn_top1"` // percent, by "k200"
	Seconds float64            `json:"seconds"`  // that it took
}

// probeNice is the priority of the probe's process: training goes first.
const probeNice = 10

// knnProbe scores snapshots of the encoder while training goes on. The score is
// taken by `resslt eval knn` in a process of its own, so that neither libtorch's
// threads nor its random state are shared with the training, whose weights are
// the same with the probe and without. One runs at a time; of snapshots that wait,
// the newest is kept, so that a slow probe neither piles up nor holds up.
type knnProbe struct {
	ctx    context.Context
	recipe *recipe.Recipe
	out    string // folder of the run
	work   string // folder of the snapshot that is being scored
	curves *curves

	mu      sync.Mutex
	waiting *train.EncoderSnapshot // guarded by mu
	running bool                   // a goroutine works through waiting; guarded by mu
	done    sync.WaitGroup         // of that goroutine
}

// newKNNProbe makes the probe of a session, or gives nil and says why where the
// data cannot be probed. Scores of steps that are made again are dropped.
func (s *session) newKNNProbe(ctx context.Context, from int64, c *curves) (*knnProbe, error) {
	for _, split := range []string{s.recipe.ProbeSplit, s.recipe.EvalSplit} {
		why, err := s.cannotEvaluate(ctx, split)
		if err != nil {
			return nil, err
		}
		if why != "" {
			fmt.Fprintln(s.stderr, "no kNN score while training: "+why)
			return nil, nil
		}
	}
	p := &knnProbe{ctx: ctx, recipe: s.recipe, out: s.out, work: filepath.Join(s.out, ".knn"), curves: c}
	if err := os.MkdirAll(p.work, 0o755); err != nil {
		return nil, folderError(p.work, err)
	}
	lines, err := readKNN(s.out)
	if err != nil {
		return nil, err
	}
	return p, p.rewrite(lines, from)
}

// readKNN reads the scores of a run's folder, oldest first; none where there is no file.
func readKNN(out string) (lines []knnLine, err error) {
	path := filepath.Join(out, knnFile)
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, errs.New("read", path, "make it readable", errs.BecauseErr(errs.ErrUnavailable, err))
	}
	for row := range bytes.Lines(raw) {
		var l knnLine
		if json.Unmarshal(row, &l) != nil {
			break // the last line of a process that was killed
		}
		lines = append(lines, l)
	}
	return lines, nil
}

// rewrite keeps the scores of steps up to from.
func (p *knnProbe) rewrite(lines []knnLine, from int64) error {
	return durable.Replace(filepath.Join(p.out, knnFile), func(w io.Writer) error {
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

// take is given a snapshot by the training loop, and does not hold it up.
func (p *knnProbe) take(s train.EncoderSnapshot) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if old := p.waiting; old != nil {
		fmt.Fprintf(p.curves.stderr, "\nkNN of epoch %d left out: scoring takes longer than training; raise knn_every or lower eval_images\n", old.Epoch)
	}
	p.waiting = &s
	if !p.running {
		p.running = true
		p.done.Add(1)
		go p.drain()
	}
	return nil
}

// drain scores what waits until nothing does.
func (p *knnProbe) drain() {
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
			p.curves.warn(err)
		}
	}
}

// score has a snapshot scored, and keeps the result.
func (p *knnProbe) score(s *train.EncoderSnapshot) error {
	began := time.Now()
	file := filepath.Join(p.work, "encoder.safetensors")
	if err := s.Write(file); err != nil {
		return err
	}
	result, err := p.run(file)
	if err != nil {
		return err
	}
	line := knnLine{Step: s.Step, Epoch: s.Epoch, KNN: map[string]float64{}, Seconds: time.Since(began).Seconds()}
	var values []tensorboard.Scalar
	for _, score := range result.Scores {
		k := strings.TrimPrefix(score.Name, "top1_")
		line.KNN[k] = score.Value
		values = append(values, tensorboard.Scalar{Tag: "knn/top1_" + k, Value: score.Value})
	}
	p.curves.write(s.Step, values...)
	lines, err := readKNN(p.out)
	if err != nil {
		return err
	}
	return p.rewrite(append(lines, line), s.Step)
}

// run scores an encoder's file by `resslt eval knn`.
func (p *knnProbe) run(file string) (result eval.Result, err error) {
	fail := func(err error) (eval.Result, error) {
		return result, errs.New("kNN while training", file, "see what is wrong by running `resslt eval knn` by hand", errs.BecauseErr(errs.ErrUnavailable, err))
	}
	exe, err := os.Executable()
	if err != nil {
		return fail(err)
	}
	r := p.recipe
	var ks []string
	for _, k := range r.KNNK {
		ks = append(ks, strconv.Itoa(k))
	}
	c := exec.CommandContext(p.ctx, exe, "eval", "knn", "--checkpoint", file, "--data", r.Data,
		"--split", r.ProbeSplit, "--eval-split", r.EvalSplit, "--max-images", strconv.Itoa(r.EvalImages),
		"--k", strings.Join(ks, ","), "--temperature", strconv.FormatFloat(r.KNNTemperature, 'g', -1, 64),
		"--device", r.Device, "--threads", strconv.Itoa(max(1, cores.Count()-r.Threads)), "--out", "-", "--json")
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for the trainer, which ends its probe itself
	if err := c.Start(); err != nil {
		return fail(err)
	}
	_ = syscall.Setpriority(syscall.PRIO_PROCESS, c.Process.Pid, probeNice) // a courtesy; it may have ended
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

// close waits for the scores that are still due, unless the run was interrupted.
func (p *knnProbe) close() {
	p.done.Wait()
	if err := os.RemoveAll(p.work); err != nil {
		p.curves.warn(folderError(p.work, err))
	}
}
