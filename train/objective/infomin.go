package objective

import (
	"slices"

	"resslt/train/torch"
)

var infoMinMethod = Method{
	Name: "infomin", Paper: "arXiv 2005.10243", Shuffles: always,
	Views: Views{WeakStrong: true}, Policy: "infomin",
	New: func(o Options) Objective { return infoMin{o} },
}

// infoMin is InfoMin (arXiv 2005.10243) as its authors train ImageNet (HobbitLong/PyContrast,
// --method InfoMin): MoCo v2 by a policy of stronger operations, and PIRL's jigsaw of a third view,
// which has to find the same key among the queue's.
//
// The head of the query and the key is MoCo v2's. That of the jigsaw is the same on each of the nine
// patches, here in the second head's place, and a linear layer on the nine of them in random order,
// which is the objective's own (networks/util.py, JigsawHead with an MLP).
type infoMin struct{ o Options }

// jigsawWeight is --beta of PyContrast's options: the jigsaw's share of the loss.
const jigsawWeight = 0.5

func (m infoMin) Parts() Parts {
	patch := m.o.mocoHead()
	patch.OfFeatures = true
	d := int64(m.o.Dim)
	return Parts{
		Teacher: true, TeacherViews: 1, StudentViews: 2, Coupled: true, Raw: true, Queue: TeacherKeys,
		Project: m.o.mocoHead(), Predict: &patch,
		State: []Tensor{
			{Name: "jigsaw", Shape: []int64{d, cells * d}, Start: UnitRows, Parameter: true},
			{Name: "jigsaw_bias", Shape: []int64{1, d}, Parameter: true},
		},
		Group: Group{Free: true},
		Draws: slices.Concat([]Draw{{Name: "order", Columns: cells}}, jitter()),
	}
}

// Show cuts the second student view into patches, in an order drawn at random.
func (m infoMin) Show(b Batch, student []*torch.Tensor) []*torch.Tensor {
	return []*torch.Tensor{student[0], shuffledPatches(b, student[1])}
}

// Targets are the keys k.
func (m infoMin) Targets(_ Batch, k []*torch.Tensor) Targets { return Targets{Z2: k} }

// Loss is (1−β)·L(q) + β·L(jigsaw), L MoCo's InfoNCE (equation 1 of arXiv 1911.05722) against the key
// and the queue.
func (m infoMin) Loss(b Batch, student []Embedding, t Targets) Loss {
	q, k := Normalize(student[0].Z), t.Z2[0]
	jigsaw := Normalize(torch.Add(ofNine(student[1].P, b.State["jigsaw"], q.Size(0)), b.State["jigsaw_bias"], 1))
	negatives := similarities(q, b.Queue)
	nce := infoNCE(q, k, negatives, m.o.Tau)
	patches := infoNCE(jigsaw, k, similarities(jigsaw, b.Queue), m.o.Tau)
	total := torch.Add(torch.MulScalar(nce, 1-jigsawWeight), patches, jigsawWeight)
	return Loss{Total: total, Terms: Terms{InfoNCE: total, Negatives: negatives, Z1: q, Target: k}}
}
