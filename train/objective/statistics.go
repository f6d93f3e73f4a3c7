package objective

import (
	"fmt"
	"math"
	"reflect"
	"strings"

	"resslt/train/torch"
)

// Statistics describe the passes of a step. This struct is the only list of them, and
// Describe is the only place that computes them: one more statistic is a field here and
// an assignment there. The files, the metrics and whoever shows them follow (Shown).
//
// T is *torch.Tensor for one pass (a scalar each, nil where the objective has no such
// quantity), float64 for a step (NaN there) and *float64 in JSON files (absent there).
// Over the passes of a step and over the ranks of a group each statistic is the mean.
//
// A field's tags say where it is shown: json is its key in metrics.jsonl, checkpoints and
// summary.json, tag its name in TensorBoard, chart and curve its place in a report, and
// line its format in a line of progress, where percent multiplies it by 100.
type Statistics[T any] struct {
	// Relation is equation 5, H(p², p¹), in nats.
	Relation T `json:"relation,omitempty" tag:"loss/relation" chart:"Loss" curve:"relation H(p², p¹)"`
	// InfoNCE is equation 1 or the objective's form of it, in nats.
	InfoNCE T `json:"infonce,omitempty" tag:"loss/infonce" chart:"Loss" curve:"InfoNCE"`
	// Cosine is equation 2, L_cos, from −1 to 1.
	Cosine T `json:"cosine,omitempty" tag:"loss/cosine" chart:"Loss" curve:"negative cosine"`
	// EmbeddingStd is the standard deviation over the batch of the student's unit
	// embeddings, averaged over the dimensions: near 1/√D when they spread over the
	// sphere, 0 when they have collapsed.
	EmbeddingStd T `json:"embedding_std,omitempty" tag:"collapse/embedding_std" chart:"Collapse watch: spread of the embeddings" curve:"standard deviation" line:"std %.4f"`
	// TargetEntropy is H(p²) in nats, at most ln K.
	TargetEntropy T `json:"target_entropy,omitempty" tag:"collapse/target_entropy" chart:"Entropy of the target, nats" curve:"H(p²)" line:"H(p²) %.2f"`
	// Agreement is the share of samples, 0 to 1, for which student and target choose the
	// same candidate: ReSSL's most similar key of the queue; elsewhere the sample's own
	// target, against the queue (MoCo v2) or the batch's other targets.
	Agreement T `json:"agreement,omitempty" tag:"collapse/agreement" chart:"Student and teacher agree" curve:"same nearest key" line:"agree %.0f%%" percent:"true"`
	// Similarity is the mean cosine of the student's embedding and its target.
	Similarity T `json:"similarity,omitempty" tag:"collapse/similarity" chart:"Student and teacher agree" curve:"cosine"`
	// Supervised is the cross-entropy of the samples that show their label, in nats.
	Supervised T `json:"supervised,omitempty" tag:"loss/supervised" chart:"Loss" curve:"of labels"`
	// Confident is the share of samples, 0 to 1, whose predicted class is a target.
	Confident T `json:"confident,omitempty" tag:"loss/confident" chart:"Targets that are sure" curve:"share of samples" line:"sure %.0f%%" percent:"true"`
}

// Terms are what a pass computes its loss from, for Describe. A field is nil where the
// objective has no such quantity.
type Terms struct {
	Relation, InfoNCE, Cosine *torch.Tensor // scalars: equations 5, 1 and 2

	Supervised, Confident *torch.Tensor // scalars, of learning with some labels

	LogP1, P2  *torch.Tensor // (B,K): log p¹ and p² of equations 3 and 4
	Negatives  *torch.Tensor // (B,K): similarities to the queue, where the target is no part of it
	Z1, Target *torch.Tensor // (B,D): an embedding of the student and what it is compared with

	// In place of LogP1 and P2, where they have not been kept: H(p²), and (B) the most similar keys.
	Entropy, Choice, TargetChoice *torch.Tensor
}

// Describe computes a pass's statistics from its embeddings and terms. It runs inside
// torch.NoGrad.
func Describe(student []Embedding, t Terms) (s Statistics[*torch.Tensor]) {
	s.Relation, s.InfoNCE, s.Cosine = t.Relation, t.InfoNCE, t.Cosine
	s.Supervised, s.Confident = t.Supervised, t.Confident
	s.EmbeddingStd = spread(student)
	if t.P2 != nil {
		s.TargetEntropy = entropy(t.P2)
	} else {
		s.TargetEntropy = t.Entropy
	}
	switch {
	case t.P2 != nil:
		s.Agreement = sameChoice(t.LogP1, t.P2)
	case t.Choice != nil:
		s.Agreement = share(torch.Eq(t.Choice, t.TargetChoice), t.Z1)
	case t.Negatives != nil:
		s.Agreement = share(torch.Gt(cosines(t.Z1, t.Target), torch.Amax(t.Negatives, []int64{1}, false)), t.Z1)
	default:
		s.Agreement = ownChoice(t.Z1, t.Target)
	}
	if t.Cosine != nil {
		s.Similarity = torch.Neg(t.Cosine)
	} else {
		s.Similarity = torch.Mean(cosines(t.Z1, t.Target), torch.Unset)
	}
	return s
}

// Fields are the statistics in order, to read or to set.
func (s *Statistics[T]) Fields() []*T {
	v := reflect.ValueOf(s).Elem()
	out := make([]*T, v.NumField())
	for i := range out {
		out[i] = v.Field(i).Addr().Interface().(*T)
	}
	return out
}

// Statistic says how one of Statistics is shown.
type Statistic struct {
	Key   string // in metrics.jsonl, checkpoints and summary.json
	Tag   string // in TensorBoard
	Chart string // title of its chart
	Curve string // its name in the chart

	line    string
	percent bool
}

// Shown describes the statistics, in the order of Fields.
func Shown() []Statistic {
	t := reflect.TypeFor[Statistics[float64]]()
	out := make([]Statistic, t.NumField())
	for i := range out {
		tags := t.Field(i).Tag
		key, _, _ := strings.Cut(tags.Get("json"), ",")
		out[i] = Statistic{
			Key: key, Tag: tags.Get("tag"), Chart: tags.Get("chart"), Curve: tags.Get("curve"),
			line: tags.Get("line"), percent: tags.Get("percent") == "true",
		}
	}
	return out
}

// Line formats a value for a line of progress: "" for a statistic that is not in it, or a
// value that the objective does not have (NaN).
func (s Statistic) Line(value float64) string {
	if s.line == "" || math.IsNaN(value) {
		return ""
	}
	if s.percent {
		value *= 100
	}
	return fmt.Sprintf(s.line, value)
}

// last is the dimension of candidates.
var last = int64(-1)

// spread is the embeddings' standard deviation over the batch, averaged over dimensions
// and views.
func spread(student []Embedding) (std *torch.Tensor) {
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
	return std
}

// entropy is H(p) in nats, batch mean, of distributions p (B,K).
func entropy(p *torch.Tensor) *torch.Tensor {
	rows := torch.SumDim(torch.Mul(p, torch.Log(torch.ClampMin(p, 1e-30))), []int64{1}, false, torch.Unset)
	return torch.Neg(torch.Mean(rows, torch.Unset))
}

// share is the fraction of true elements of b, bool, as a scalar like t.
func share(b, t *torch.Tensor) *torch.Tensor {
	return torch.Mean(b.To(t.Device(), t.DType(), false), torch.Unset)
}

// sameChoice is the share of rows whose greatest element is in the same column of a and
// b, (B,K).
func sameChoice(a, b *torch.Tensor) *torch.Tensor {
	return share(torch.Eq(torch.Argmax(a, &last, false), torch.Argmax(b, &last, false)), b)
}

// ownChoice is the share of rows of p (B,D) that are more similar to their own row of z
// (B,D) than to any other row of z.
func ownChoice(p, z *torch.Tensor) *torch.Tensor {
	own := torch.Arange(0, float64(p.Size(0)), 1, torch.Int64, p.Device())
	return share(torch.Eq(torch.Argmax(similarities(p, z), &last, false), own), p)
}
