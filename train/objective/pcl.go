package objective

import (
	"fmt"
	"math"

	"resslt/train/torch"
)

var pclMethod = Method{
	Name: "pcl-v2", Paper: "arXiv 2005.04966", Ramp: "pcl_warmup_epochs", Shuffles: always,
	Views: Views{Teacher: []int{0}, Student: []int{1}}, Policy: "moco-v2",
	New: func(o Options) Objective { return pcl{o} },
}

// pcl is PCL v2 (arXiv 2005.04966): MoCo v2, and beside it ProtoNCE, by which a query has to find
// its sample's prototype in several clusterings of the data set. The prototypes are k-means'
// centroids of the momentum network's embeddings, made again between epochs (the E-step). Until
// α is 1 it is MoCo v2.
//
// The embeddings that are clustered are a bank of the last key of every sample. The authors' code
// (salesforce/PCL, main_pcl.py) takes a pass over the data set instead, of centre crops in
// evaluation mode: images that are no part of a run's stream, and a tenth more work. The bank's
// keys are up to an epoch old, of augmented views.
type pcl struct{ o Options }

// clusters are those of the paper for ImageNet's 1,281,167 images, 25,000, 50,000 and 100,000, or
// as many for as many samples.
func (m pcl) clusters() []int { return m.o.clusters(51, 26, 13) }

func (m pcl) Parts() Parts {
	clusters := m.clusters()
	p := Parts{
		Teacher: true, TeacherViews: 1, StudentViews: 1, Queue: TeacherKeys, Keyed: true, Project: m.o.mocoHead(),
		State: []Tensor{m.o.bank(), m.o.labels(len(clusters))},
	}
	for i, k := range clusters {
		p.State = append(p.State,
			Tensor{Name: prototypesOf(i), Shape: []int64{int64(k), int64(m.o.Dim)}, Start: UnitRows},
			Tensor{Name: concentrationOf(i), Shape: []int64{1, int64(k)}})
	}
	return p
}

// prototypesOf and concentrationOf name a clustering's C (k,D) and φ (1,k).
func prototypesOf(clustering int) string    { return fmt.Sprintf("prototypes%d", clustering) }
func concentrationOf(clustering int) string { return fmt.Sprintf("concentration%d", clustering) }

// Targets are the keys.
func (m pcl) Targets(b Batch, k []*torch.Tensor) Targets {
	return Targets{Z2: k, Rows: []*torch.Tensor{b.Samples, k[0]}}
}

// Loss is the paper's equation 11, ProtoNCE: InfoNCE of query, key and queue, and the mean over the
// clusterings of −log( exp(v·c_s/φ_s) / Σ_j exp(v·c_j/φ_j) ), c_s the prototype of the sample. The
// sum is over all prototypes; the authors' code draws 16,000 others, for memory.
func (m pcl) Loss(b Batch, student []Embedding, t Targets) Loss {
	q, k := student[0].P, t.Z2[0]
	negatives := similarities(q, b.Queue)
	nce := infoNCE(q, k, negatives, m.o.Tau)
	l := Loss{Total: nce, Terms: Terms{InfoNCE: nce, Negatives: negatives, Z1: q, Target: k}}
	if b.Alpha.Value < 1 {
		return l
	}
	own := torch.IndexSelect(b.State[labelsName], 1, b.Samples) // (clusterings,B)
	n := len(m.clusters())
	for i := range n {
		logits := torch.Div(similarities(q, b.State[prototypesOf(i)]), b.State[concentrationOf(i)])
		proto := torch.CrossEntropyLoss(logits, torch.Select(own, 0, int64(i)), nil, 1, -100, 0)
		if l.Relation == nil {
			l.Relation = proto
		} else {
			l.Relation = torch.Add(l.Relation, proto, 1)
		}
	}
	l.Relation = torch.DivScalar(l.Relation, float64(n))
	l.Total = torch.Add(nce, l.Relation, 1)
	return l
}

// Update puts the batch's keys into the bank.
func (m pcl) Update(s State, rows []*torch.Tensor) { remember(s[bankName], rows[0], rows[1], 0) }

// Refresh is the E-step: of each clustering the prototypes, the samples' labels, and φ.
func (m pcl) Refresh(s State, order func(string) *torch.Tensor) {
	recluster(s, m.clusters(), order, prototypesOf, func(i int, c clustering) {
		torch.Copy_(s[prototypesOf(i)], Normalize(c.centroids), false)
		torch.Copy_(s[concentrationOf(i)], torch.Unsqueeze(concentration(c, m.o.Tau), 0), false)
	})
}

// smoothing is α of equation 12.
const smoothing = 10

// concentration is φ of equation 12, Σ‖v − c‖/(Z·log(Z + α)) of a cluster's Z rows, (k), scaled so
// that its mean is τ. As in the authors' code, clusters of a row or none have the largest φ, and
// the tenths at both ends are levelled.
func concentration(c clustering, tau float64) *torch.Tensor {
	many := torch.GtScalar(c.members, 1)
	z := torch.ClampMin(c.members, 1)
	phi := torch.Div(c.spread, torch.Mul(z, torch.Log(torch.AddScalar(z, smoothing, 1))))
	phi = torch.Where(many, phi, torch.ZerosLike(phi))
	phi = torch.Where(many, phi, torch.Amax(phi, []int64{0}, true))
	sorted, _ := torch.Topk(phi, phi.Size(0), 0, false, true) // ascending
	low, high := quantile(sorted, 0.1), quantile(sorted, 0.9)
	phi = torch.Where(torch.Gt(low, phi), low, phi)
	phi = torch.Where(torch.Gt(phi, high), high, phi)
	phi = torch.ClampMin(phi, 1e-6) // of embeddings that have all collapsed
	return torch.MulScalar(torch.Div(phi, torch.Mean(phi, torch.Unset)), tau)
}

// quantile is that of ascending numbers (k), (1), with linear interpolation as numpy's.
func quantile(ascending *torch.Tensor, share float64) *torch.Tensor {
	at := share * float64(ascending.Size(0)-1)
	below := math.Floor(at)
	a := torch.Narrow(ascending, 0, int64(below), 1)
	b := torch.Narrow(ascending, 0, int64(math.Ceil(at)), 1)
	return torch.Add(a, torch.Sub(b, a, 1), at-below)
}
