package objective

import "resslt/train/torch"

var fncMethod = Method{
	Name: "fnc", Paper: "arXiv 2011.11765", Views: Views{All: true}, Policy: "small-4crop",
	New: func(o Options) Objective { return fnc{o} },
}

// fnc is false negative cancellation (arXiv 2011.11765), by attraction: SimCLR, where those
// negatives of a sample that look like its own class become positives. Which do is decided by
// all of the sample's views, a pair and any number of support views. Every view is an anchor,
// and a positive of the sample's other views.
//
// Its projector is SimCLR's of three layers with BN on each, the output too
// (google-research/fnc, model_util.py). The momentum network and the memory that the authors'
// longest run has besides are not here.
type fnc struct{ o Options }

func (m fnc) Parts() Parts {
	return Parts{
		StudentViews: 2, Locals: true, Coupled: true, InBatch: true,
		Project: Head{Hidden: []int{m.o.ProjHidden, m.o.ProjHidden}, Out: m.o.Dim, BatchNorm: true, NormOut: true},
	}
}

// Targets are none: the views are each other's.
func (m fnc) Targets(Batch, []*torch.Tensor) Targets { return Targets{} }

// Loss is the paper's attraction loss, mean over all anchors: with P the sample's other views
// and its false negatives,
//
//	ℓ = −1/|P|·Σ_{p∈P} log( exp(z·z_p/τ) / Σ_{k≠z} exp(z·z_k/τ) )
//
// Of two views without false negatives it is SimCLR's.
func (m fnc) Loss(b Batch, student []Embedding, _ Targets) Loss {
	var views []*torch.Tensor
	for _, e := range student {
		views = append(views, e.P)
	}
	z := torch.Cat(views, 0) // (V·B,D)
	s := similarities(z, z)
	anchor := torch.Eye(z.Size(0), torch.Bool, z.Device())
	positive := torch.MaskedFillScalar(m.positives(s.Detach(), int64(len(views))), anchor, 0)
	nce := multiNCE(torch.MaskedFillScalar(torch.DivScalar(s, m.o.Tau), anchor, -1e9), positive)
	return Loss{Total: nce, Terms: Terms{InfoNCE: nce, Z1: views[0], Target: views[1]}}
}

// positives are 1 in (V·B,V·B) where a column is of the row's own sample, or false as a
// negative: by similarity s, at best over the sample's V views, among the FalseTop nearest of
// all others, and above FalseAbove (objective.py, add_contrastive_loss).
func (m fnc) positives(s *torch.Tensor, v int64) (mask *torch.Tensor) {
	torch.NoGrad(func() {
		mask = torch.Scope(func() *torch.Tensor {
			n := s.Size(0)
			own := torch.Repeat(torch.Eye(n/v, torch.Bool, s.Device()), []int64{1, v}) // (B,V·B)
			best := torch.Amax(torch.Reshape(s, []int64{v, n / v, n}), []int64{0}, false)
			best = torch.MaskedFillScalar(best, own, -2)
			top, _ := torch.Topk(best, int64(m.o.FalseTop), 1, true, true)
			least := torch.Narrow(top, 1, int64(m.o.FalseTop)-1, 1)
			attracted := torch.GtScalar(best, m.o.FalseAbove).To(s.Device(), s.DType(), false)
			attracted = torch.MaskedFillScalar(attracted, torch.Gt(least, best), 0)
			return torch.Repeat(torch.MaskedFillScalar(attracted, own, 1), []int64{v, 1})
		})
	})
	return mask
}
