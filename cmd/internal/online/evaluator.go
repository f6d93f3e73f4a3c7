package online

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"resslt/schemas/durable"
	"resslt/schemas/errs"
	"resslt/train"
	"resslt/train/recipe"
)

// Evaluator scores snapshots of the encoder.
type Evaluator struct {
	Options
	ctx  context.Context
	work string // folder of the snapshot that is being scored

	scoring sync.Mutex // one snapshot is scored at a time

	mu      sync.Mutex
	waiting *train.EncoderSnapshot // guarded by mu
	running bool                   // a goroutine scores what waits; guarded by mu
	done    sync.WaitGroup         // of that goroutine
}

// Options are what an evaluator needs.
type Options struct {
	Recipe *recipe.Recipe // resolved: data, splits, probes
	// HoldOut is how many images of the recipe's probe split make one that is held out to score
	// on; 0: the recipe's split for that.
	HoldOut int
	Out     string // folder of the run
	From    int64  // scores of later steps are dropped: those steps are trained again
	// Scored receives every score, Warn what went wrong, Note the scores and what was left out,
	// each as a line. They are called from the evaluator's goroutine, Note also from Take's.
	Scored func(Scores)
	Warn   func(error)
	Note   func(string)
}

// Start prepares an evaluator. It scores until ctx ends; the caller closes it.
func Start(ctx context.Context, o Options) (*Evaluator, error) {
	e := &Evaluator{Options: o, ctx: ctx, work: filepath.Join(o.Out, ".scoring")}
	if err := os.MkdirAll(e.work, 0o755); err != nil {
		return nil, durable.Error(e.work, err)
	}
	for _, name := range files {
		if err := cut(o.Out, name, o.From); err != nil {
			return nil, err
		}
	}
	if err := dropNeighbours(o.Out, o.From); err != nil {
		return nil, durable.Error(o.Out, err)
	}
	return e, nil
}

// Take receives a snapshot from the training loop, which does not wait for its scores.
func (e *Evaluator) Take(s train.EncoderSnapshot) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if old := e.waiting; old != nil {
		e.Note(fmt.Sprintf("scores of epoch %d left out: scoring takes longer than training; raise knn_every and linear_every, or lower eval_images", old.Epoch))
	}
	e.waiting = &s
	if !e.running {
		e.running = true
		e.done.Add(1)
		go e.scoreAll()
	}
	return nil
}

// scoreAll scores the snapshot that waits until there is none.
func (e *Evaluator) scoreAll() {
	defer e.done.Done()
	for {
		e.mu.Lock()
		s := e.waiting
		e.waiting = nil
		if s == nil || e.ctx.Err() != nil {
			e.running = false
			e.mu.Unlock()
			return
		}
		e.mu.Unlock()
		if _, err := e.score(s); err != nil && e.ctx.Err() == nil {
			e.Warn(err)
		}
	}
}

// Score scores a snapshot by all probes that the recipe has after its epoch, and gives the
// top-1 of one, percent: kNN's of the first of knn_k.
func (e *Evaluator) Score(s train.EncoderSnapshot, probe string) (float64, error) {
	scores, err := e.score(&s)
	if err != nil {
		return 0, err
	}
	top1 := scores.LinearTop1
	if probe == recipe.KNNProbe {
		if v, ok := scores.KNN[fmt.Sprintf("k%d", e.Recipe.KNNK[0])]; ok {
			top1 = &v
		}
	}
	if top1 == nil {
		return 0, errs.New("score", "epoch "+fmt.Sprint(s.Epoch), "report this as a bug", errs.Because(errs.ErrNotFound, "no score by "+probe))
	}
	return *top1, nil
}

// score scores a snapshot by the probes of its epoch, and keeps the results.
func (e *Evaluator) score(s *train.EncoderSnapshot) (all Scores, err error) {
	e.scoring.Lock()
	defer e.scoring.Unlock()
	all = Scores{Step: s.Step, Epoch: s.Epoch}
	file := filepath.Join(e.work, "encoder.safetensors")
	if err := s.Write(file); err != nil {
		return all, err
	}
	near := filepath.Join(e.work, "neighbours.json")
	due := e.Recipe.ProbesAfter(s.Epoch)
	cache := ""
	if len(due) > 1 { // the second finds the first one's features
		cache = filepath.Join(e.work, "features")
		defer os.RemoveAll(cache)
	}
	for _, probe := range due {
		began := time.Now()
		result, cpu, err := e.run(probe, file, cache, near)
		if err != nil {
			return all, err
		}
		one := Scores{Step: s.Step, Epoch: s.Epoch, Seconds: time.Since(began).Seconds(), CPUSeconds: cpu.Seconds()}
		for _, score := range result.Scores {
			v := score.Value
			k, isKNN := strings.CutPrefix(score.Name, "top1_")
			switch {
			case isKNN && probe == recipe.KNNProbe:
				if one.KNN == nil {
					one.KNN = map[string]float64{}
				}
				one.KNN[k] = v
			case score.Name == "top1":
				one.LinearTop1 = &v
			case score.Name == "top5":
				one.LinearTop5 = &v
			}
		}
		if probe == recipe.KNNProbe {
			all.KNN = one.KNN
			if err := e.keepNeighbours(&one, near); err != nil {
				e.Warn(err)
			}
		} else {
			all.LinearTop1, all.LinearTop5 = one.LinearTop1, one.LinearTop5
		}
		if err := add(e.Out, files[probe], one); err != nil {
			return all, err
		}
		e.Scored(one)
		e.Note(one.String())
	}
	return all, nil
}

// Close waits for the scores that are still due, unless ctx has ended.
func (e *Evaluator) Close() {
	e.done.Wait()
	if err := os.RemoveAll(e.work); err != nil {
		e.Warn(durable.Error(e.work, err))
	}
}
