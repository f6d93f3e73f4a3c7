package objective

import "resslt/train/torch"

var discoMethod = Method{
	Name: "disco", Paper: "arXiv 2104.09124", Shuffles: always,
	Views: bothViews, Policy: "moco-v2",
	New: func(o Options) Objective { return disco{o} },
}

// disco is DisCo (arXiv 2104.09124): MoCo v2 of a small network whose last embedding is drawn to
// that of a trained teacher, which does not move, of both views. As in MoCo v2 the first view is
// the key's, which the student's momentum average sees, and the second the query's.
//
// The head is MoCo v2's, with as many hidden units as the teacher's has, 2048: the paper finds
// that narrow ones are a bottleneck of distillation (Yuting-Gao/DisCo-pytorch,
// moco/builder_kq_mse_largeembedding_2048.py).
type disco struct{ o Options }

func (m disco) Parts() Parts {
	return Parts{
		Teacher: true, Frozen: true, TeacherViews: 2, StudentViews: 2, KeyViews: []int{0},
		Queue: EncoderKeys, Coupled: true, Project: m.o.mocoHead(),
	}
}

// Targets are the teacher's embeddings.
func (m disco) Targets(_ Batch, z2 []*torch.Tensor) Targets { return Targets{Z2: z2} }

// Loss is the sum of the paper's two parts: of InfoNCE of the query q with its key and the queue,
// and of Σ_v ‖s_v − t_v‖², the distance of the student's and the teacher's embeddings of each
// view, 2 − 2·cos of unit rows. Both are means over the batch. The authors' code (main.py) adds
// the distances of the 32 rows of a GPU, which is a weight of 32.
func (m disco) Loss(b Batch, student []Embedding, t Targets) Loss {
	q, k := student[1].P, b.Keys[0]
	negatives := similarities(q, b.Queue)
	contrast := infoNCE(q, k, negatives, m.o.Tau)
	cos := torch.Add(negativeCosine(student[0].P, t.Z2[0]), negativeCosine(q, t.Z2[1]), 1)
	distance := torch.AddScalar(torch.MulScalar(cos, 2), 4, 1)
	return Loss{
		Total: torch.Add(contrast, distance, m.o.DistilWeight),
		Terms: Terms{InfoNCE: contrast, Cosine: torch.DivScalar(cos, 2), Negatives: negatives, Z1: q, Target: k},
	}
}
