package train

import (
	"math"

	"resslt/train/objective"
	"resslt/train/torch"
)

// Stats describes one step, means over the batch and the student's views. All are
// zero where Hyper.Stats was false; what the objective does not have is NaN.
type Stats struct {
	Loss     float64 // what was minimised; ReSSL: equation 7
	Relation float64 // equation 5, H(p², p¹), in nats
	InfoNCE  float64 // equation 1 or the objective's form of it, in nats
	Cosine   float64 // equation 2, L_cos, from −1 to 1
	// EmbeddingStd is the standard deviation over the batch of the student's
	// unit embeddings, mean over dimensions: near 1/√D when spread over the
	// sphere, 0 when collapsed.
	EmbeddingStd float64
	// TargetEntropy is H(p²) in nats, at most ln K.
	TargetEntropy float64
	// Agreement is the share of samples, 0–1, for which student and target choose
	// the same candidate (objective.Stats).
	Agreement float64
	// Similarity is the mean cosine of the student's embedding and its target's.
	Similarity float64
}

// Figures are Stats but for the loss, as JSON has them: a figure that the objective
// does not have is absent. They stand in every line of metrics.jsonl, in checkpoints
// and in the summary.
type Figures struct {
	Relation      *float64 `json:"relation,omitempty"`
	InfoNCE       *float64 `json:"infonce,omitempty"`
	Cosine        *float64 `json:"cosine,omitempty"`
	EmbeddingStd  *float64 `json:"embedding_std,omitempty"`
	TargetEntropy *float64 `json:"target_entropy,omitempty"`
	Agreement     *float64 `json:"agreement,omitempty"`
	Similarity    *float64 `json:"similarity,omitempty"`
}

// Figures are the statistics that the objective has; nil for those that it has not.
func (s Stats) Figures() Figures {
	known := func(x float64) *float64 {
		if math.IsNaN(x) {
			return nil
		}
		return &x
	}
	return Figures{
		Relation: known(s.Relation), InfoNCE: known(s.InfoNCE), Cosine: known(s.Cosine),
		EmbeddingStd: known(s.EmbeddingStd), TargetEntropy: known(s.TargetEntropy),
		Agreement: known(s.Agreement), Similarity: known(s.Similarity),
	}
}

// stats is the inverse of Stats.Figures.
func (f Figures) stats(loss float64) Stats {
	or := func(x *float64) float64 {
		if x == nil {
			return math.NaN()
		}
		return *x
	}
	return Stats{
		Loss: loss, Relation: or(f.Relation), InfoNCE: or(f.InfoNCE), Cosine: or(f.Cosine),
		EmbeddingStd: or(f.EmbeddingStd), TargetEntropy: or(f.TargetEntropy),
		Agreement: or(f.Agreement), Similarity: or(f.Similarity),
	}
}

// tally adds up what the passes of a step say of themselves.
type tally struct {
	loss   float64
	passes int
	// late leaves losses on the device, in device: (1+n) float64, the loss and what
	// which lists, sums over passes.
	late   bool
	device *torch.Tensor
	// which lists the fields that the objective has, in the order of a pass's
	// description; sums their sums over passes.
	which []int
	sums  []float64
}

// described are the fields of Stats in order, but for Loss.
func described(s objective.Stats, std *torch.Tensor) []*torch.Tensor {
	return []*torch.Tensor{s.Relation, s.InfoNCE, s.Cosine, std, s.TargetEntropy, s.Agreement, s.Similarity}
}

// describe packs a pass's statistics into one tensor, so that reading them waits
// for the device once.
func (t *tally) describe(s objective.Stats, student []objective.Embedding) *torch.Tensor {
	var std *torch.Tensor
	for _, e := range student {
		d := torch.Mean(torch.StdDim(e.P, []int64{0}, false, false), torch.Unset)
		if std == nil {
			std = d
		} else {
			std = torch.Add(std, d, 1)
		}
	}
	if len(student) > 1 {
		std = torch.DivScalar(std, float64(len(student)))
	}
	var have []*torch.Tensor
	t.which = t.which[:0]
	for i, x := range described(s, std) {
		if x != nil {
			t.which = append(t.which, i)
			have = append(have, x)
		}
	}
	return torch.Stack(have, 0)
}

// add takes one pass's loss, and its description where there is one. The error
// wraps errs.ErrDiverged; a late tally has it from read.
func (t *tally) add(scalar, description *torch.Tensor) error {
	if t.late {
		t.keep(scalar, description)
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

func (t *tally) stats() Stats {
	v := [7]float64{}
	for i := range v {
		v[i] = math.NaN()
	}
	for i, field := range t.which {
		v[field] = t.sums[i] / float64(t.passes)
	}
	return Stats{
		Loss: t.loss, Relation: v[0], InfoNCE: v[1], Cosine: v[2],
		EmbeddingStd: v[3], TargetEntropy: v[4], Agreement: v[5], Similarity: v[6],
	}
}
