package session

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"resslt/batcher/runs"
	"resslt/cmd/internal/runbook"
	"resslt/train"
	"resslt/train/recipe"
)

// brief is the run in some lines, for the start: what is trained on what, where it goes, and what
// it takes. OUT/recipe.yaml has all of it.
func (p *Plan) brief() []string {
	r := p.Recipe
	lines := [][2]string{
		{"recipe", r.Name + ": " + r.Claim},
		{"network", p.network()},
		{"method", p.method()},
		{"training", fmt.Sprintf("%d epochs of %d steps of %d images, lr %.4g·B/256, %s, %s", r.Epochs, p.Spec.StepsPerEpoch, p.Spec.BatchSize, r.BaseLR, r.Device, r.Precision)},
		{"batches", p.Source},
		{"folder", p.Out + " (recipe.yaml there has every setting; --verbose prints it)"},
	}
	return columns(lines)
}

// columns are names with what stands for them, lined up.
func columns(lines [][2]string) []string {
	out := make([]string, len(lines))
	for i, l := range lines {
		out[i] = fmt.Sprintf("%-9s %s", l[0], l[1])
	}
	return out
}

// network is the backbone, with what it starts from and what of it stays.
func (p *Plan) network() string {
	r := p.Recipe
	text := fmt.Sprintf("%s, width %d, %s stem, %d px", r.Backbone, r.Width, r.Stem, p.Spec.EncoderSize())
	if r.Init != "" {
		text += fmt.Sprintf(", from %s (sha256 %.12s)", r.Init, r.InitSHA256)
	}
	if len(r.Freeze) > 0 {
		text += ", frozen: " + strings.Join(r.Freeze, ", ")
	}
	return text
}

// method is the objective with its most important settings.
func (p *Plan) method() string {
	r := p.Recipe
	parts := []string{r.Objective, fmt.Sprintf("policy %s", r.Policy), fmt.Sprintf("τ_s %g", r.TauS), fmt.Sprintf("τ_t %g", r.TauT)}
	if r.K > 0 {
		parts = append(parts, fmt.Sprintf("K %d", r.K))
	}
	return strings.Join(append(parts, fmt.Sprintf("m %g", r.M), fmt.Sprintf("seed %d", r.Seed)), ", ")
}

// logBytes is what the recipe log keeps of a view's slot: measured, 40 to 50.
const logBytes = 50

// needs estimates time, memory and disk, by what the learner n needs and the bytes that the process
// has in memory. The time is by an earlier run of the same network on this machine, where the folder or
// its neighbours have one; else it shows after the first steps.
func (p *Plan) needs(n train.Needs, resident int64) []string {
	work := p.Work()
	took := "shows after the first steps"
	if rate, by := p.rateBefore(); rate > 0 {
		took = fmt.Sprintf("about %s by the %.0f images/s of %s", time.Duration(float64(work.Images)/rate*float64(time.Second)).Round(time.Second), rate, by)
	}
	log := work.Images * int64(len(p.Spec.Views)) * logBytes / 2
	keep := int64(p.Recipe.KeepCheckpoints)
	disk := fmt.Sprintf("about %s: %d checkpoints of %s, encoder %s, log %s", megabytes(keep*n.Checkpoint+n.Encoder+log+work.Recorded), keep, megabytes(n.Checkpoint), megabytes(n.Encoder), megabytes(log))
	if work.Recorded > 0 {
		disk += ", pixels " + megabytes(work.Recorded)
	}
	return columns([][2]string{{"time", took}, {"memory", p.memory(n, resident)}, {"disk", disk}})
}

// firstStep is what a process takes in besides with its first steps, bytes: code of libtorch and oneDNN
// that nothing has called before. RssFile grows by as much from the estimate on (Debian's libtorch 1.13,
// recipe smoke: 160 to 180 MB).
const firstStep = 20e6

// memory says how much memory the training takes at its peak, and the device's where that has its own.
func (p *Plan) memory(n train.Needs, resident int64) string {
	work := p.Work()
	ahead := min(work.Bytes, runs.DefaultWindow(&p.Spec)*int64(p.Spec.BatchSize)*int64(p.Spec.SampleBytes()))
	if strings.HasPrefix(p.Recipe.Device, "cuda") {
		return fmt.Sprintf("about %s of the GPU (networks and optimizer %s, activations %s), and of the host up to %s (%s now, batches up to %s, a checkpoint %s)",
			megabytes(n.Memory()), megabytes(n.Weights+n.Gradients), megabytes(n.Activations+n.Similarity),
			megabytes(resident+ahead+n.Checkpoint), megabytes(resident), megabytes(ahead), megabytes(n.Checkpoint))
	}
	step := max(n.Activations+n.Similarity, n.Checkpoint) // which is copied between two steps, when activations are free
	resident += firstStep
	return fmt.Sprintf("about %s at its peak (%s by the first step, gradients %s, activations %s, batches up to %s), before the evaluation",
		megabytes(resident+n.Gradients+step+ahead), megabytes(resident), megabytes(n.Gradients), megabytes(step), megabytes(ahead))
}

func megabytes(n int64) string {
	if n < 10e6 {
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.0f MB", float64(n)/1e6)
}

// maxNeighbours bounds the runs that are looked at for their speed.
const maxNeighbours = 64

// rateBefore is the speed, images/s, of an earlier run whose steps took as long as this one's will: the
// same work on the same hardware, and batches that were made here where these are. It gives its folder,
// too; 0 where there is none.
func (p *Plan) rateBefore() (rate float64, by string) {
	var near []string
	for _, dir := range []string{p.Out, filepath.Dir(p.Out)} {
		entries, _ := os.ReadDir(dir) // what cannot be read has no runs
		for _, e := range entries {
			if dir != p.Out || strings.HasPrefix(e.Name(), runbook.Previous) {
				near = append(near, filepath.Join(dir, e.Name()))
			}
		}
	}
	hardware, looked := hardware(p.Recipe.Device), 0
	for _, run := range near {
		if looked == maxNeighbours {
			break
		}
		s, err := train.ReadSummary(filepath.Join(run, "summary.json"))
		if err == nil {
			looked++
		}
		if err != nil || s.Hardware != hardware || s.ImagesPerSecond <= 0 || (s.EngineTier != "") != (p.Workers > 0) {
			continue
		}
		if r, err := recipe.Load(filepath.Join(run, recipeFile)); err == nil && p.Recipe.SameStep(r) {
			return s.ImagesPerSecond, run
		}
	}
	return 0, ""
}
