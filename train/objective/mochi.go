package objective

import "resslt/train/torch"

var mochiMethod = Method{
	Name: "mochi", Paper: "arXiv 2010.01028", Ramp: "mochi_warmup_epochs", Shuffles: always,
	Views: Views{Teacher: []int{0}, Student: []int{1}}, Policy: "moco-v2",
	New: func(o Options) Objective { return mochi{o} },
}

// mochi is MoCHi (arXiv 2010.01028): MoCo v2 with further negatives, which are mixed for each
// query from the N keys of the queue that are hardest for it, most similar to it. The paper
// writes it MoCHi (N, s, s'). Until α is 1 it is MoCo v2.
//
// What it draws at random are the pairs and their weights (Parts.Draws).
type mochi struct{ o Options }

func (m mochi) Parts() Parts {
	n, s, harder := m.o.Hardest, m.o.Mixed, m.o.Harder
	return Parts{
		Teacher: true, TeacherViews: 1, StudentViews: 1, Queue: TeacherKeys, Project: m.o.mocoHead(),
		Draws: []Draw{
			{Name: "first", Columns: s, Below: n},
			{Name: "second", Columns: s, Below: n},
			{Name: "alpha", Columns: s},
			{Name: "harder", Columns: harder, Below: n},
			{Name: "beta", Columns: harder},
		},
	}
}

// Targets are the keys k.
func (m mochi) Targets(_ Batch, k []*torch.Tensor) Targets { return Targets{Z2: k} }

// Loss is the paper's equation 1, InfoNCE of query, key and negatives: the queue's and, once
// α is 1, the mixed ones, which carry no gradient.
func (m mochi) Loss(b Batch, student []Embedding, t Targets) Loss {
	q, k := student[0].P, t.Z2[0]
	negatives := similarities(q, b.Queue)
	all := negatives
	if b.Alpha.Value >= 1 && m.o.Mixed+m.o.Harder > 0 {
		all = torch.Cat([]*torch.Tensor{negatives, m.mixed(b, q, negatives)}, 1)
	}
	nce := infoNCE(q, k, all, m.o.Tau)
	return Loss{Total: nce, Terms: Terms{InfoNCE: nce, Negatives: negatives, Z1: q, Target: k}}
}

// mixed are the similarities (B,s+s') of the queries q (B,D) to their mixed negatives.
func (m mochi) mixed(b Batch, q, negatives *torch.Tensor) *torch.Tensor {
	var h *torch.Tensor // (B,s+s',D)
	torch.NoGrad(func() {
		h = torch.Scope(func() *torch.Tensor {
			_, hard := torch.Topk(negatives, int64(m.o.Hardest), 1, true, true) // Q̃ᴺ, (B,N)
			key := func(draw string) *torch.Tensor { return keysOf(b.Queue, hard, b.Draws[draw]) }
			var all []*torch.Tensor
			if m.o.Mixed > 0 { // section 4.1: α·n_i + (1−α)·n_j, 0 ≤ α < 1
				all = append(all, mix(key("first"), key("second"), b.Draws["alpha"]))
			}
			if m.o.Harder > 0 { // section 4.2: β·q + (1−β)·n_j, 0 ≤ β < ½
				all = append(all, mix(torch.Unsqueeze(q, 1), key("harder"), torch.MulScalar(b.Draws["beta"], 0.5)))
			}
			return torch.Cat(all, 1)
		})
	})
	return torch.Reshape(torch.Matmul(h, torch.Unsqueeze(q, 2)), []int64{h.Size(0), h.Size(1)})
}

// keysOf are rows of the queue (K,D), one (B,C,D) for each element of draw (B,C): for each row
// those at the drawn places of its list of keys, (B,N).
func keysOf(queue, list, draw *torch.Tensor) *torch.Tensor {
	rows, n := list.Size(0), list.Size(1)
	start := torch.Unsqueeze(torch.Arange(0, float64(rows*n), float64(n), torch.Int64, list.Device()), 1)
	places := torch.Reshape(torch.Add(draw, start, 1), []int64{-1})
	keys := torch.IndexSelect(torch.Reshape(list, []int64{-1}), 0, places)
	return torch.Reshape(torch.IndexSelect(queue, 0, keys), []int64{rows, draw.Size(1), queue.Size(1)})
}

// mix is w·a + (1−w)·b of unit length, (B,C,D), for weights w (B,C). a may be (B,1,D).
func mix(a, b, w *torch.Tensor) *torch.Tensor {
	d := b.Size(2)
	w = torch.Unsqueeze(w, 2)
	h := torch.Add(b, torch.Mul(w, torch.Sub(a, b, 1)), 1)
	return torch.Reshape(Normalize(torch.Reshape(h, []int64{-1, d})), b.Shape())
}
