package objective

import (
	"math"
	"strings"
	"testing"

	"resslt/train/nn/nntest"
	"resslt/train/torch"
)

// lossOf is the loss of rows from … from+n of the case's batch.
func (m method) lossOf(tb testing.TB, from, n int64) (loss float64) {
	in, o := inputs[m.name], order{double: true}
	_, obj := m.objective(tb)
	parts := obj.Parts()
	some := func(x *torch.Tensor) *torch.Tensor { // a Viewer has several rows for each sample, or one for two
		rows := x.Size(0)
		return torch.Narrow(x, 0, from*rows/m.B, n*rows/m.B)
	}
	nntest.Do(tb, func() {
		whole, _, _, _ := m.embeddings(in, parts, o)
		var student []Embedding
		for _, e := range whole {
			part := Embedding{Z: some(e.Z), P: some(e.P)}
			for _, q := range e.Others {
				part.Others = append(part.Others, some(q))
			}
			student = append(student, part)
		}
		var z2 []*torch.Tensor
		for _, z := range in.z2 {
			z2 = append(z2, some(Normalize(o.place(z, m.B, m.D))))
		}
		b := Batch{Side: m.Side, Alpha: m.alpha(obj), Views: len(student), State: m.state(parts, o), Draws: m.draws(parts, o)}
		for name, d := range b.Draws {
			b.Draws[name] = some(d)
		}
		for _, k := range in.keys {
			b.Keys = append(b.Keys, some(Normalize(o.place(k, m.B, m.D))))
		}
		if parts.Queue != NoQueue {
			b.Queue = Normalize(o.place("queue", m.K, m.D))
		}
		if parts.Keyed {
			b.Samples = some(torch.FromInt64(m.IDs, m.B))
		}
		if r, ok := obj.(Refresher); ok {
			torch.NoGrad(func() { r.Refresh(b.State, m.order) })
		}
		var t Targets
		torch.NoGrad(func() { t = obj.Targets(b, z2) })
		if parts.Coupled {
			loss = obj.Loss(b, student, t).Total.Item()
			return
		}
		for v := range student {
			b.View = v
			loss += obj.Loss(b, student[v:v+1], t).Total.Item()
		}
	})
	return loss
}

// TestInBatch: for every objective, the mean of two halves' losses is the batch's where
// Parts.InBatch is false, and another number where it is true. W-MSE that whitens as many rows
// as a half has is the exception that the warning of recipe.Recipe knows.
func TestInBatch(t *testing.T) {
	nntest.Torch(t)
	for name := range inputs {
		_, m := loadMethod(t, name)
		_, obj := m.objective(t)
		parts := obj.Parts()
		same := func(m method) bool {
			half := m.B / 2
			whole := m.lossOf(t, 0, 2*half)
			halves := (m.lossOf(t, 0, half) + m.lossOf(t, half, half)) / 2
			t.Logf("%s: %v whole, %v in halves", name, whole, halves)
			// Sums in another order, of float64: 2⁻⁵³ times the condition, which fp32's parity
			// with PyTorch puts below 1e4. What other rows change is a part of the loss.
			return math.Abs(halves-whole) < 1e-12*max(1, math.Abs(whole))
		}
		m.WhitenRows, m.RankFrom, m.RankTo = 0, 1, 2 // a half has few other rows to rank
		if same(m) == parts.InBatch {
			t.Errorf("%s: InBatch is %t", name, parts.InBatch)
		}
		if parts.Statistics && !parts.InBatch {
			t.Errorf("%s: Statistics without InBatch", name)
		}
		if m.WhitenRows = int(m.B / 2); strings.HasPrefix(name, "w-mse") && !same(m) {
			t.Errorf("%s that whitens half a batch: micro-batches change it", name)
		}
	}
}
