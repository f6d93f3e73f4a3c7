package train

import (
	"fmt"

	"resslt/train/nn"
	"resslt/train/objective"
	"resslt/train/optim"
	"resslt/train/torch"
)

// precision is the type that networks compute in.
type precision struct {
	bf16   bool // bfloat16 by autocast; else that of the weights
	raw    bool // embeddings stay as the heads give them
	device torch.Device
}

// autocast runs networks in the precision.
func (p precision) autocast(fn func()) {
	if p.bf16 {
		torch.Autocast(p.device.Type, torch.BFloat16, fn)
		return
	}
	fn()
}

// unit normalises embeddings (B,D), unless the objective takes them as they are, in fp32 or
// float64 whatever the precision.
func (p precision) unit(z *torch.Tensor) *torch.Tensor {
	if p.bf16 {
		z = z.To(p.device, torch.Float32, false)
	}
	if p.raw {
		return z
	}
	return objective.Normalize(z)
}

// network is an encoder that takes pixels and gives unit embeddings.
type network struct {
	*Encoder
	pixels *nn.Pixels // the learner's
	precision
}

// input maps pixels (B,S,S,3) uint8 to images (B,3,S,S). checkStep has refused whatever
// Forward refuses; the nil that would come of it fails in the next operator.
func (n *network) input(x *torch.Tensor) *torch.Tensor {
	x, _ = n.pixels.Forward(x)
	return x
}

// embed maps pixels (B,S,S,3) uint8 to unit embeddings.
func (n *network) embed(x *torch.Tensor) objective.Embedding {
	images := n.input(x)
	return n.heads(func() *torch.Tensor { return n.Backbone.Forward(images) })
}

// heads maps features (B,FeatureDim), which features computes in the precision, to unit
// embeddings.
func (n *network) heads(features func() *torch.Tensor) (out objective.Embedding) {
	n.autocast(func() { out.Z, out.P, out.Others = n.Heads(features()) })
	if out.Z == out.P {
		out.Z = n.unit(out.Z)
		out.P = out.Z
		return out
	}
	out.Z, out.P = n.unit(out.Z), n.unit(out.P)
	for i, p := range out.Others {
		out.Others[i] = n.unit(p)
	}
	return out
}

// student is the network that is trained: F_s, g_s and q.
type student struct {
	network
	recompute bool // activation checkpointing
	first     int  // the first stage with a parameter that is trained
}

// embed gives z and p of each view, with what backward needs besides where activations
// are computed again (tapes.backward).
func (s *student) embed(views []*torch.Tensor) (out []objective.Embedding, tapes tapes) {
	for _, x := range views {
		if !s.recompute {
			out = append(out, s.network.embed(x))
			continue
		}
		tp := s.newTape(x)
		tapes = append(tapes, tp)
		out = append(out, s.heads(func() *torch.Tensor { return tp.features }))
	}
	return out, tapes
}

// teacher is the momentum network: F_t and g_t, or a frozen one. A nil one, of an objective that has none,
// gives no embeddings and follows nobody.
type teacher struct {
	network
	parallel *dataParallel
	seed     uint64

	// Parameters of F_t and g_t, and those of F_s and g_s that they follow: not the frozen ones,
	// which are equal already.
	average, averaged []*torch.Tensor
	// followers is average by the student's parameters that are trained, nil for the predictor's.
	followers []*torch.Tensor

	// Of a frozen one, which follows nobody.
	digest    *torch.Tensor // (32) uint8, of its file
	ownPixels *nn.Pixels
}

// newTeacher makes the momentum network, the student's equal, and pairs its parameters
// with the student's.
func newTeacher(n network, parallel *dataParallel, seed uint64, s *student) *teacher {
	t := &teacher{network: n, parallel: parallel, seed: seed}
	own := map[string]*torch.Tensor{}
	for _, p := range nn.Parameters(t) {
		p.Tensor.SetRequiresGrad(false)
		own[p.Name] = p.Tensor
	}
	for _, p := range trainable(s) {
		t.followers = append(t.followers, own[p.Name])
		if x := own[p.Name]; x != nil { // the predictor has no counterpart
			t.average, t.averaged = append(t.average, x), append(t.averaged, p.Tensor)
		}
	}
	return t
}

// embed gives z² (B,D) of each view, unit rows, no gradient. The teacher stays in training
// mode, so that its batch norm uses the batch's own statistics. Where these are of groups,
// the samples change groups for the teacher: a student that saw a sample among the same
// others as the teacher could recognise it by them (MoCo, section 3.3, "Shuffling BN").
func (t *teacher) embed(views []*torch.Tensor, d drawKey) (z2 []*torch.Tensor) {
	torch.NoGrad(func() {
		for v, x := range views { // none where there is no teacher
			z2 = append(z2, torch.Scope(func() *torch.Tensor {
				if !t.parallel.norms.shuffled || t.digest != nil {
					return t.network.embed(x).P
				}
				x, back := t.parallel.shuffle(x, nn.Random(t.seed, fmt.Sprintf("shuffle bn %d.%d.%d", d.step, d.micro, v)))
				return back(t.network.embed(x).P)
			}))
		}
	})
	return z2
}

// drawKey is what random numbers of a step depend on, besides the seed.
type drawKey struct {
	step  int64
	micro int // micro-batch of the step
}

// averages are the teacher's weights for an optimiser that moves them on the way (6); none where
// there is no teacher or a frozen one.
func (t *teacher) averages(m float64) optim.Averages {
	if t == nil || t.digest != nil {
		return optim.Averages{}
	}
	return optim.Averages{Of: t.followers, M: m}
}

// follow moves the teacher towards the student, by equation 6.
func (t *teacher) follow(m float64) {
	if t != nil && t.digest == nil {
		momentumUpdate(t.average, t.averaged, m)
	}
}
