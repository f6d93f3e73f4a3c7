package objective

import (
	"fmt"

	"resslt/train/torch"
)

var swavMethod = Method{
	Name: "swav", Paper: "arXiv 2006.09882", Ramp: "swav_queue_epochs", RampFills: true,
	Views: pairForStudent, Policy: "swav",
	New: func(o Options) Objective { return swav{o} },
}

// swav is SwAV (arXiv 2006.09882): the code of one crop, its assignment to prototypes that
// Sinkhorn's algorithm makes equal in size over the batch, is predicted from another crop.
// Codes are of the two global crops. Once α is 1, embeddings of earlier batches take part in
// the assignment, a queue for each global crop.
//
// The prototypes C have unit length after every step (facebookresearch/swav, main_swav.py).
type swav struct{ o Options }

func (m swav) Parts() Parts {
	p := Parts{
		StudentViews: globals, Locals: true, Coupled: true, InBatch: true, Statistics: true,
		Project: m.o.twoLayers(m.o.ProjHidden),
		State: []Tensor{{
			Name: "prototypes", Shape: []int64{int64(m.o.Prototypes), int64(m.o.Dim)}, Start: UnitRows, Parameter: true,
		}},
	}
	for i := range globals {
		p.State = append(p.State, Tensor{Name: queueOf(i), Shape: []int64{int64(m.o.K), int64(m.o.Dim)}})
	}
	return p
}

// queueOf names a global crop's queue, (K,D), newest rows first.
func queueOf(crop int) string { return fmt.Sprintf("queue%d", crop) }

// Targets are none: the student's crops are each other's.
func (m swav) Targets(Batch, []*torch.Tensor) Targets { return Targets{} }

// Loss is the paper's equation 1 over all crops (section 3.3): the mean over the codes q_i and
// the crops v ≠ i of ℓ(z_v, q_i) = −Σ_k q_i^k·log p_v^k.
func (m swav) Loss(b Batch, student []Embedding, _ Targets) Loss {
	c := b.State["prototypes"]
	var out Loss
	var scores, logP []*torch.Tensor
	for i, e := range student {
		scores = append(scores, similarities(e.Z, c))             // (B,P)
		logP = append(logP, relationLogProbs(scores[i], m.o.Tau)) // (2) p = softmax(z·C/τ)
	}
	for i := range globals {
		q := m.codes(b, i, scores[i])
		for v := range student {
			if v == i {
				continue
			}
			l := relationalLoss(q, logP[v]) // ℓ(z_v, q_i)
			if out.Total == nil {
				out.Total = l
				out.Terms = Terms{LogP1: logP[v], P2: q, Z1: student[v].Z, Target: student[i].Z}
			} else {
				out.Total = torch.Add(out.Total, l, 1)
			}
		}
		out.Rows = append(out.Rows, student[i].Z.Detach())
	}
	out.Total = torch.DivScalar(out.Total, float64(globals*(len(student)-1)))
	out.Relation = out.Total
	return out
}

// codes are Q of equation 5 for a crop's scores (B,P), without gradient.
func (m swav) codes(b Batch, crop int, scores *torch.Tensor) (q *torch.Tensor) {
	torch.NoGrad(func() {
		q = torch.Scope(func() *torch.Tensor {
			scores := scores.Detach()
			rows := scores.Size(0)
			if b.Alpha.Value >= 1 {
				scores = torch.Cat([]*torch.Tensor{scores, similarities(b.State[queueOf(crop)], b.State["prototypes"])}, 0)
			}
			return torch.Narrow(sinkhorn(scores, m.o.Epsilon, m.o.Iterations), 0, 0, rows)
		})
	})
	return q
}

// sinkhorn is the paper's equation 5 and Algorithm 1 of its appendix: of scores (N,P) the
// soft assignment (N,P) whose rows sum to 1 and whose columns have nearly equal sums.
func sinkhorn(scores *torch.Tensor, epsilon float64, iterations int) *torch.Tensor {
	n, p := float64(scores.Size(0)), float64(scores.Size(1))
	q := torch.Exp(torch.DivScalar(scores, epsilon))
	q = torch.Div(q, torch.Sum(q, torch.Unset))
	for range iterations {
		q = torch.DivScalar(torch.Div(q, torch.SumDim(q, []int64{0}, true, torch.Unset)), p)
		q = torch.DivScalar(torch.Div(q, torch.SumDim(q, []int64{1}, true, torch.Unset)), n)
	}
	return torch.MulScalar(q, n)
}

// Update brings the prototypes back to unit length, and the batch's global crops into the
// queues.
func (m swav) Update(s State, rows []*torch.Tensor) {
	torch.Copy_(s["prototypes"], Normalize(s["prototypes"]), false)
	for i, z := range rows {
		push(s[queueOf(i)], z)
	}
}
