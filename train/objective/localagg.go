package objective

import (
	"fmt"
	"slices"

	"resslt/train/torch"
)

var localAggMethod = Method{
	Name: "localagg", Paper: "arXiv 1903.12355", Ramp: "localagg_warmup_epochs", Views: Views{Same: true}, Policy: "npid",
	New: func(o Options) Objective { return localAgg{banked{o}} },
}

// localAgg is local aggregation (arXiv 1903.12355): an embedding moves towards its close
// neighbours in a bank, relative to its background neighbours. Background are the nearest ones;
// close are those in its sample's cluster, of any of several clusterings of the bank. Until α is 1
// it is NPID, whose bank and head it has (neuroailab/LocalAggregation, --task IR, then LA).
type localAgg struct{ banked }

// clusters are those of the paper for ImageNet's 1,281,167 images, ten clusterings into 30,000, or
// as many for as many samples.
func (m localAgg) clusters() []int { return m.o.clusters(slices.Repeat([]int{43}, 10)...) }

func (m localAgg) Parts() Parts {
	noise := m.o.noise()
	noise.Ramp = true // NPID's, which is the warm-up
	return Parts{
		StudentViews: 1, Keyed: true, Project: Head{Out: m.o.Dim},
		State: []Tensor{m.o.bank(), m.o.labels(len(m.clusters()))},
		Draws: []Draw{noise},
	}
}

// Loss is the paper's equation 4, −log( P(C_i∩B_i | v_i) / P(B_i | v_i) ), batch mean, where
// P(A | v) is the sum over A of exp(v_j·v/τ)/Z. The constant within the logarithm is the authors'.
func (m localAgg) Loss(b Batch, student []Embedding, _ Targets) Loss {
	v := student[0].P
	rows := []*torch.Tensor{b.Samples, v.Detach()}
	if b.Alpha.Value < 1 {
		l := m.o.instances(b, v)
		l.Rows = rows
		return l
	}
	bank := b.State[bankName]
	var background, near *torch.Tensor // B_i (B,k) int64; whether each is in C_i
	torch.NoGrad(func() {
		torch.ScopeN(func() []*torch.Tensor {
			_, background = torch.Topk(similarities(v, bank), min(int64(m.o.Neighbours), bank.Size(0)), 1, true, true)
			near = inClusters(b.State[labelsName], b.Samples, background).To(v.Device(), v.DType(), false)
			return []*torch.Tensor{background, near}
		})
	})
	p := torch.Softmax(torch.DivScalar(against(v, bank, background), m.o.Tau), 1, torch.Unset)
	relative := torch.SumDim(torch.Mul(p, near), []int64{1}, false, torch.Unset)
	loss := torch.Neg(torch.Mean(torch.Log(torch.AddScalar(relative, 1e-7, 1)), torch.Unset))
	own := torch.IndexSelect(bank, 0, b.Samples)
	return Loss{Total: loss, Rows: rows, Terms: Terms{InfoNCE: loss, Z1: v, Target: own}}
}

// inClusters reports which of other samples (B,k) have a label (H,N) of their row's sample (B), in
// any of the H clusterings.
func inClusters(labels, samples, others *torch.Tensor) *torch.Tensor {
	h := labels.Size(0)
	theirs := torch.Reshape(torch.IndexSelect(labels, 1, torch.Reshape(others, []int64{-1})), append([]int64{h}, others.Shape()...))
	same := torch.Eq(theirs, torch.Unsqueeze(torch.IndexSelect(labels, 1, samples), 2)) // (H,B,k)
	return torch.Amax(same, []int64{0}, false)
}

// Refresh clusters the bank.
func (m localAgg) Refresh(s State, order func(string) *torch.Tensor) {
	recluster(s, m.clusters(), order, func(i int) string { return fmt.Sprintf("clustering %d", i) }, nil)
}
