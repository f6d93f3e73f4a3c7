package objective

import "resslt/train/torch"

var compressMethod = Method{
	Name: "compress", Paper: "arXiv 2010.14713, Ours-2q",
	Views: Views{Same: true}, Policy: "supervised",
	New: func(o Options) Objective { return compress{o, false} },
}

var compressOneMethod = Method{
	Name: "compress-1q", Paper: "arXiv 2010.14713, Ours-1q",
	Views: Views{Same: true}, Policy: "supervised",
	New: func(o Options) Objective { return compress{o, true} },
}

// compress is CompRess (arXiv 2010.14713): to a student an image is to be as similar to anchor
// points as it is to a trained teacher that does not move. Both see one and the same view, and
// their similarities have one temperature.
//
// Anchor points are the last K images. In the paper's Ours-2q each network has its own
// embeddings of them, so that the student needs no head, and features of any width are compared:
// its anchors are those of its momentum average (UMBCvision/CompRess, train_student.py,
// CompReSSMomentum). In Ours-1q the student is compared with the teacher's anchors, too, by a
// linear layer to the teacher's width, which is dropped afterwards (train_student_one_queue.py,
// CompReSSA).
type compress struct {
	o        Options
	oneQueue bool
}

func (m compress) Parts() Parts {
	p := Parts{Teacher: true, Frozen: true, TeacherViews: 1, StudentViews: 1}
	if m.oneQueue {
		p.Queue, p.Project = TeacherKeys, Head{Out: m.o.Dim}
		return p
	}
	p.KeyViews, p.Project = []int{0}, Head{None: true}
	p.State = []Tensor{
		{Name: "teacher_anchors", Shape: []int64{int64(m.o.K), int64(m.o.Dim)}, Start: UnitRows},
		{Name: "student_anchors", Shape: []int64{int64(m.o.K), int64(m.o.Features)}, Start: UnitRows},
	}
	return p
}

// anchors are the teacher's embeddings of the anchor points and the student's.
func (m compress) anchors(b Batch) (teacher, student *torch.Tensor) {
	if m.oneQueue {
		return b.Queue, b.Queue
	}
	return b.State["teacher_anchors"], b.State["student_anchors"]
}

// Targets are the teacher's distribution over the anchor points, and this batch's.
func (m compress) Targets(b Batch, z2 []*torch.Tensor) Targets {
	teacher, _ := m.anchors(b)
	t := Targets{Z2: z2, P2: relationTarget(similarities(z2[0], teacher), m.o.Tau)}
	if !m.oneQueue {
		t.Rows = []*torch.Tensor{z2[0], b.Keys[0]}
	}
	return t
}

// Loss is KL(p of the teacher ‖ p of the student), batch mean (nn/compress_loss.py, KLD).
func (m compress) Loss(b Batch, student []Embedding, t Targets) Loss {
	z := student[0].P
	_, anchors := m.anchors(b)
	logP := relationLogProbs(similarities(z, anchors), m.o.Tau)
	relation := relationalLoss(t.P2, logP)
	terms := Terms{Relation: relation, LogP1: logP, P2: t.P2, Z1: z, Target: t.Z2[0]}
	if !m.oneQueue {
		terms.Target = b.Keys[0] // the teacher's has another width
	}
	return Loss{Total: torch.Sub(relation, entropy(t.P2), 1), Terms: terms} // KL(p, q) = H(p, q) − H(p)
}

// Update puts the batch before the other anchor points, in one order in both networks' lists.
func (m compress) Update(s State, rows []*torch.Tensor) {
	if !m.oneQueue {
		push(s["teacher_anchors"], rows[0])
		push(s["student_anchors"], rows[1])
	}
}
