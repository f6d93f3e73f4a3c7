package objective

import "resslt/train/torch"

var bingoMethod = Method{
	Name: "bingo", Paper: "arXiv 2107.01691", Ramp: "bingo_warmup_epochs",
	Views: Views{Teacher: []int{0}, Student: []int{1}}, Policy: "moco-v2",
	New: func(o Options) Objective { return bingo{o} },
}

// bingo is BINGO (arXiv 2107.01691): a small student learns from a trained teacher that does not
// move which images belong together. The teacher has put each image into a bag with those that are
// most similar to it, and an image, its anchor, comes with another one of its bag, its mate. As in
// MoCo v2 the first view is the key's, which the teacher sees, and the second the query's.
//
// The student sees besides each pair mixed by CutMix (haohang96/bingo, main_moco.py and utils.py);
// there one box is drawn for the batch of a GPU, and here one for each pair, so that ranks and
// micro-batches draw alike. The head is MoCo v2's with 2048 units.
type bingo struct{ o Options }

// bagKeys names the objective's queue: keys of anchors.
const bagKeys = "keys"

func (m bingo) Parts() Parts {
	return Parts{
		Teacher: true, Frozen: true, TeacherViews: 1, StudentViews: 1, Coupled: true, Pairs: true, Project: m.o.mocoHead(),
		State: []Tensor{{Name: bagKeys, Shape: []int64{int64(m.o.K), int64(m.o.Dim)}, Start: UnitRows}},
		Draws: []Draw{{Name: "share", Columns: 3}, {Name: "center", Columns: 2}},
	}
}

// Show are the anchors' views, their mates', and those of anchors into which a box of the mate's is
// pasted: (B/2,S,S,3) each.
func (m bingo) Show(b Batch, student []*torch.Tensor) []*torch.Tensor {
	anchor, mate := pairs(student[0])
	inside, _ := pasted(b, anchor.Size(1))
	return []*torch.Tensor{anchor, mate, torch.Where(torch.Unsqueeze(inside, 3), mate, anchor)}
}

// Targets are the keys, and for the queue those of the anchors.
func (m bingo) Targets(_ Batch, z2 []*torch.Tensor) Targets {
	anchors, _ := pairs(z2[0])
	return Targets{Z2: z2, Rows: []*torch.Tensor{anchors}}
}

// Loss is the mean of three cross-entropies, each of InfoNCE with the anchor's key and with the
// mate's (MulposCrossEntropy): of the anchor's query and of the mate's, which give their own key
// and the other one half each, once α is 1, and before it the own one all; and of the mixed
// image's, which gives the anchor's key the share of its pixels that is the anchor's.
func (m bingo) Loss(b Batch, student []Embedding, t Targets) Loss {
	queue := b.State[bagKeys]
	anchor, mate := pairs(t.Z2[0])
	own := 1.0
	if b.Alpha.Value >= 1 {
		own = 0.5
	}
	both := func(q *torch.Tensor) (first, second, negatives *torch.Tensor) {
		negatives = similarities(q, queue)
		lse := torch.Logsumexp(torch.DivScalar(negatives, m.o.Tau), []int64{1}, false)
		nce := func(k *torch.Tensor) *torch.Tensor { return infoNCERows(torch.DivScalar(cosines(q, k), m.o.Tau), lse) }
		return nce(anchor), nce(mate), negatives
	}
	weighted := func(first, second *torch.Tensor, share float64) *torch.Tensor {
		return torch.Add(torch.MulScalar(torch.Mean(first, torch.Unset), share), torch.Mean(second, torch.Unset), 1-share)
	}
	toAnchor, toMate, negatives := both(student[0].P)
	ofAnchor := weighted(toAnchor, toMate, own)
	toAnchor, toMate, _ = both(student[1].P)
	ofMate := weighted(toMate, toAnchor, own)
	toAnchor, toMate, _ = both(student[2].P)
	_, pastedShare := pasted(b, b.Side)
	ofMixed := torch.Mean(torch.Add(toAnchor, torch.Mul(pastedShare, torch.Sub(toMate, toAnchor, 1)), 1), torch.Unset)
	total := torch.DivScalar(torch.Add(torch.Add(ofAnchor, ofMate, 1), ofMixed, 1), 3)
	return Loss{Total: total, Terms: Terms{InfoNCE: total, Negatives: negatives, Z1: student[0].P, Target: anchor}}
}

// Update puts the anchors' keys before the others.
func (m bingo) Update(s State, rows []*torch.Tensor) { push(s[bagKeys], rows[0]) }

// pairs are the rows of the anchors and of their mates, half of x's each.
func pairs(x *torch.Tensor) (anchor, mate *torch.Tensor) {
	both := torch.Reshape(x, append([]int64{-1, 2}, x.Shape()[1:]...))
	return torch.Select(both, 1, 0), torch.Select(both, 1, 1)
}

// pasted is CutMix's box for each pair of images of S×S pixels: which pixels are inside, (B/2,S,S)
// bool, and their share of all, (B/2) of the embeddings' type. λ, the share outside, is of Beta(2,2),
// which the middle one of three numbers from 0 to 1 has; a box has S·√(1−λ) pixels on a side,
// rounded down, half of which lie on either side of its centre, and what is beyond the image is cut
// off (rand_bbox).
func pasted(b Batch, s int64) (inside, share *torch.Tensor) {
	shares, _ := pairs(b.Draws["share"])
	dev, dtype := shares.Device(), shares.DType()
	double := func(x *torch.Tensor) *torch.Tensor { return x.To(dev, torch.Float64, false) }
	whole := func(x *torch.Tensor) *torch.Tensor { return double(x.To(dev, torch.Int64, false)) } // rounded down, from 0 on
	middle, _ := torch.Topk(double(shares), 2, 1, true, true)
	lambda := torch.Narrow(middle, 1, 1, 1) // (B/2,1)
	side := whole(torch.MulScalar(torch.Sqrt(torch.AddScalar(torch.Neg(lambda), 1, 1)), float64(s)))
	half := whole(torch.MulScalar(side, 0.5))
	at, _ := pairs(b.Draws["center"])
	center := whole(torch.MulScalar(double(at), float64(s))) // (B/2,2)
	// The box's first pixels and those behind its last, less a half: places are whole numbers.
	first := torch.AddScalar(torch.Sub(center, half, 1), -0.5, 1)
	end := torch.AddScalar(torch.Add(center, half, 1), -0.5, 1)
	place := torch.Arange(0, float64(s), 1, torch.Float64, dev)
	within := func(axis int64) *torch.Tensor { // (B/2,S) bool
		return torch.Mul(torch.Gt(place, torch.Narrow(first, 1, axis, 1)), torch.Gt(torch.Narrow(end, 1, axis, 1), place))
	}
	inside = torch.Mul(torch.Unsqueeze(within(0), 2), torch.Unsqueeze(within(1), 1))
	share = torch.MeanDim(double(inside), []int64{1, 2}, false, torch.Unset)
	return inside, share.To(dev, dtype, false)
}
