package train

import (
	"fmt"
	"math"

	"resslt/schemas/errs"
	"resslt/train/objective"
	"resslt/train/torch"
)

// Stats describes one step: means over the batch and the student's views. All are zero
// where Hyper.Stats was false; what the objective does not have is NaN.
type Stats struct {
	Loss float64 // what was minimised; ReSSL: equation 7
	objective.Statistics[float64]
}

// Figures are Stats but for the loss, as JSON has them: a statistic that the objective
// does not have is absent. They are in every line of metrics.jsonl, in checkpoints and in
// the summary.
type Figures = objective.Statistics[*float64]

// Statistic is one of a step's statistics with how it is shown.
type Statistic struct {
	objective.Statistic
	Value float64
}

// Shown lists the statistics that the objective has, in one order, with how each is
// shown: for progress lines, curves and exporters.
func (s Stats) Shown() (out []Statistic) {
	shown := objective.Shown()
	for i, v := range s.Fields() {
		if !math.IsNaN(*v) {
			out = append(out, Statistic{shown[i], *v})
		}
	}
	return out
}

// Figures are the statistics that the objective has; nil for those that it has not.
func (s Stats) Figures() (f Figures) {
	values := s.Fields()
	for i, p := range f.Fields() {
		if !math.IsNaN(*values[i]) {
			*p = values[i]
		}
	}
	return f
}

// statsOf is the inverse of Stats.Figures.
func statsOf(loss float64, f Figures) Stats {
	s := Stats{Loss: loss}
	figures := f.Fields()
	for i, v := range s.Fields() {
		if *v = math.NaN(); *figures[i] != nil {
			*v = **figures[i]
		}
	}
	return s
}

// tally adds up the losses and descriptions of a step's passes.
type tally struct {
	loss   float64
	passes int
	// async leaves the sums on the device, in device: (1+n) float64, the loss and what
	// which lists.
	async  bool
	device *torch.Tensor
	// which lists the statistics that the objective has, as indices of Fields, in the
	// order of a pass's description; sums are theirs over the passes.
	which []int
	sums  []float64
}

// describe packs a pass's statistics into one tensor, so that reading them waits for the
// device once.
func (t *tally) describe(student []objective.Embedding, terms objective.Terms) (description *torch.Tensor) {
	torch.NoGrad(func() {
		s := objective.Describe(student, terms)
		var have []*torch.Tensor
		t.which = t.which[:0]
		for i, x := range s.Fields() {
			if *x != nil {
				t.which = append(t.which, i)
				have = append(have, *x)
			}
		}
		description = torch.Stack(have, 0)
	})
	return description
}

// add takes one pass's loss, and its description where there is one. On the CPU reading
// the loss costs nothing, so that one that is not finite is seen here, before backward:
// the error wraps errs.ErrDiverged. An asynchronous step's is seen by read.
func (t *tally) add(scalar, description *torch.Tensor) error {
	if t.async {
		t.addOnDevice(scalar, description)
		return nil
	}
	loss := scalar.Item()
	if !finite(loss) {
		return diverged(loss)
	}
	t.loss += loss
	t.passes++
	if description == nil {
		return nil
	}
	if t.sums == nil {
		t.sums = make([]float64, len(t.which))
	}
	for i, x := range description.Float32s() {
		t.sums[i] += float64(x)
	}
	return nil
}

// addOnDevice adds to the sums on the device. They are float64, so that they are those
// that add makes on the host.
func (t *tally) addOnDevice(loss, description *torch.Tensor) {
	was := t.device
	t.device = torch.Scope(func() *torch.Tensor {
		v := pack(loss, description)
		if was == nil {
			return v
		}
		return torch.Add(was, v, 1)
	}).Keep()
	was.Free()
	t.passes++
}

// pack puts a pass's loss and description into one (1+n) float64 tensor, so that reading
// them is one copy.
func pack(loss, description *torch.Tensor) *torch.Tensor {
	wide := func(t *torch.Tensor) *torch.Tensor { return t.Detach().To(t.Device(), torch.Float64, false) }
	v := torch.Reshape(wide(loss), []int64{1})
	if description == nil {
		return v
	}
	return torch.Cat([]*torch.Tensor{v, wide(description)}, 0)
}

// read takes the sums of addOnDevice, once they are on the host. The error wraps
// errs.ErrDiverged.
func (t *tally) read(values []float64) error {
	if !finite(values[0]) {
		return diverged(values[0])
	}
	t.loss, t.sums = values[0], values[1:]
	return nil
}

// free releases the sums on the device.
func (t *tally) free() {
	t.device.Free()
	t.device = nil
}

// stats are the means over the passes.
func (t *tally) stats() Stats {
	s := Stats{Loss: t.loss}
	fields := s.Fields()
	for _, v := range fields {
		*v = math.NaN()
	}
	for i, field := range t.which {
		*fields[field] = t.sums[i] / float64(t.passes)
	}
	return s
}

// diverged is the error of a loss that is not a finite number.
func diverged(loss float64) error {
	return errs.New("training step", "loss", divergedHint,
		errs.Because(errs.ErrDiverged, fmt.Sprintf("the loss is %g", loss)))
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }
