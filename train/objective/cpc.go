package objective

import (
	"fmt"

	"resslt/train/torch"
)

var cpcMethod = Method{
	Name: "cpc-v2", Paper: "arXiv 1905.09272", Views: Views{Same: true}, Policy: "simclr",
	New: func(o Options) Objective { return cpc{o} },
}

// cpc is CPC v2, contrastive predictive coding (arXiv 1905.09272): of an image's overlapping
// patches, in a grid, those further on are predicted from those before them. Each patch goes
// through the network by itself, z_{i,j} = f(x_{i,j}), the mean over its last map. What follows is
// the objective's own, once for each direction of prediction, with parameters of its own:
//
//	context     c = g(z), a masked convolutional network: c_{i,j} sees z_{u,v} with u ≤ i alone
//	prediction  ẑ_{i+k,j} = W_k·c_{i,j}, k rows further on
//	target      a projection of z_{i+k,j}, among those of every patch of the batch
//
// Where the paper's text leaves sizes open they are those of its appendix's pseudo-code.
type cpc struct{ o Options }

// predictionScale multiplies predictions, the pseudo-code's emb_scale. Predictions and targets are
// not of unit length, so that it stands in place of 1/τ.
const predictionScale = 0.1

// MostSteps is k between the first and the last row of patches.
const MostSteps = patchSide - 1

// directions are where predictions go, each from the patches on the other side.
var directions = []string{"down", "up", "right", "left"}

// towards lays a grid x (B,C,rows,columns) so that the direction is downwards: the last row is the
// one furthest on.
func towards(direction string, x *torch.Tensor) *torch.Tensor {
	switch direction {
	case "up":
		return torch.Flip(x, []int64{2})
	case "right":
		return torch.Transpose(x, 2, 3)
	case "left":
		return torch.Transpose(torch.Flip(x, []int64{3}), 2, 3)
	}
	return x
}

func (m cpc) Parts() Parts {
	p := Parts{
		StudentViews: 1, InBatch: true, Raw: true, Project: Head{None: true}, Group: Group{Free: true},
		Draws: patchDraws(),
	}
	f, h, d := int64(m.o.Features), int64(m.o.ContextHidden), int64(m.o.Dim)
	for _, direction := range directions {
		layer := func(name string, out, in int64) {
			name = direction + "." + name
			p.State = append(p.State, Tensor{Name: name, Shape: []int64{out, in}, Start: UnitRows, Parameter: true})
			if name != direction+".target" { // whose bias would add the same to all logits of a prediction
				p.State = append(p.State, Tensor{Name: name + "_bias", Shape: []int64{out}, Parameter: true})
			}
		}
		for i := range m.o.ContextBlocks {
			block := fmt.Sprintf("block%d.", i)
			layer(block+"reduce", h, f)
			layer(block+"across", h, 3*h)
			layer(block+"above", h, 2*h)
			layer(block+"expand", f, h)
		}
		layer("target", d, f)
		for k := m.o.StepFrom; k <= m.o.StepTo; k++ {
			layer(fmt.Sprintf("step%d", k), d, f)
		}
	}
	return p
}

// Show cuts the view into patches, each changed by itself.
func (m cpc) Show(b Batch, student []*torch.Tensor) []*torch.Tensor {
	return []*torch.Tensor{recolored(mirrored(grid(student[0]), b.Draws["mirror"]), b.Draws["colors"])}
}

// Targets are none: they are the student's own.
func (m cpc) Targets(Batch, []*torch.Tensor) Targets { return Targets{} }

// Loss is the paper's L_CPC, InfoNCE,
//
//	−Σ_{i,j,k} log( exp(ẑ_{i+k,j}·z_{i+k,j}) / (exp(ẑ_{i+k,j}·z_{i+k,j}) + Σ_l exp(ẑ_{i+k,j}·z_l)) )
//
// as in the pseudo-code the mean over i, j and the batch, summed over k, and the z_l are the
// batch's other patches, the same image's too. Of the directions it is the mean.
func (m cpc) Loss(b Batch, student []Embedding, _ Targets) Loss {
	rows := student[0].P
	n, f := rows.Size(0)/patchCount, rows.Size(1)
	z := torch.Permute(torch.Reshape(rows, []int64{n, patchSide, patchSide, f}), []int64{0, 3, 1, 2})
	var told predictions
	for _, direction := range directions {
		net, laid := masked{b.State, direction}, towards(direction, z)
		targets := perPatch(net.conv("target", laid, 1, 1))
		context := net.context(laid, m.o.ContextBlocks)
		for k := m.o.StepFrom; k <= m.o.StepTo; k++ {
			from := torch.Narrow(context, 2, 0, int64(patchSide-k))
			told.add(torch.MulScalar(perPatch(net.conv(fmt.Sprintf("step%d", k), from, 1, 1)), predictionScale), targets, int64(k), b.Stats)
		}
	}
	total := torch.DivScalar(told.loss, float64(len(directions)))
	t := Terms{InfoNCE: total}
	if b.Stats {
		t.Z1, t.Target = Normalize(torch.Cat(told.predicted, 0)), Normalize(torch.Cat(told.own, 0))
		t.Choice, t.TargetChoice = torch.Cat(told.choice, 0), torch.Cat(told.right, 0)
	}
	return Loss{Total: total, Terms: t}
}

// masked is the context network of a direction, with its convolutions by name.
type masked struct {
	state     State
	direction string
}

// conv is a convolution of h×w on x (B,C,H,W), which keeps the size of the columns by zeros. With
// h = 2 row i is of rows i−1 and i, a row of zeros above the first.
func (n masked) conv(name string, x *torch.Tensor, h, w int64) *torch.Tensor {
	name = n.direction + "." + name
	weight := n.state[name]
	weight = torch.Reshape(weight, []int64{weight.Size(0), -1, h, w})
	out := torch.Conv2d(x, weight, n.state[name+"_bias"], []int64{1, 1}, []int64{h - 1, w / 2}, []int64{1, 1}, 1)
	return torch.Narrow(out, 2, 0, x.Size(2)) // zeros are at the bottom, too: a row that saw them is left out
}

// context is c of z (B,F,H,W): residual blocks, in which the two middle convolutions see one column
// to each side and one row above.
func (n masked) context(z *torch.Tensor, blocks int) *torch.Tensor {
	for i := range blocks {
		block := fmt.Sprintf("block%d.", i)
		c := torch.ClampMin(n.conv(block+"reduce", z, 1, 1), 0)
		c = n.conv(block+"above", n.conv(block+"across", c, 1, 3), 2, 1)
		z = torch.Add(z, n.conv(block+"expand", torch.ClampMin(c, 0), 1, 1), 1)
	}
	return torch.ClampMin(z, 0)
}

// perPatch gives a grid (B,C,H,W) as a row for each patch, (B·H·W,C).
func perPatch(x *torch.Tensor) *torch.Tensor {
	return torch.Reshape(torch.Permute(x, []int64{0, 2, 3, 1}), []int64{-1, x.Size(1)})
}

// predictions sums the losses of the directions and steps, and gathers what describes them.
type predictions struct {
	loss                          *torch.Tensor
	predicted, own, choice, right []*torch.Tensor // a row for each prediction
}

// add takes the predictions of all rows but the last k, (B·(6−k)·6,D), of targets (B·36,D) that are
// k rows further on.
func (p *predictions) add(predicted, targets *torch.Tensor, k int64, describe bool) {
	further := func(x *torch.Tensor) *torch.Tensor { // of what there is for each patch, (B·36,·)
		width := x.Numel() / x.Size(0)
		cells := torch.Reshape(x, []int64{-1, patchSide, patchSide, width})
		return torch.Reshape(torch.Narrow(cells, 1, k, patchSide-k), []int64{-1, width})
	}
	own := further(targets)
	logits := similarities(predicted, targets)
	positive := cosines(predicted, own)
	loss := torch.Mean(torch.Sub(torch.Logsumexp(logits, []int64{1}, false), positive, 1), torch.Unset)
	if p.loss == nil {
		p.loss = loss
	} else {
		p.loss = torch.Add(p.loss, loss, 1)
	}
	if !describe {
		return
	}
	number := torch.Arange(0, float64(targets.Size(0)), 1, torch.Int64, targets.Device())
	p.predicted, p.own = append(p.predicted, predicted.Detach()), append(p.own, own.Detach())
	p.choice = append(p.choice, torch.Argmax(logits, &last, false))
	p.right = append(p.right, torch.Reshape(further(number), []int64{-1}))
}
