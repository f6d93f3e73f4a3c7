package train

import (
	"strconv"

	"resslt/train/backbone"
	"resslt/train/nn"
	"resslt/train/objective"
	"resslt/train/torch"
)

// Encoder is one of the two networks: p = q(g(F(x))) for the student, z = g(F(x))
// for the teacher, whose Predictor is nil, as is that of a student whose objective
// has none. Of an objective with two heads side by side q is the second, p = q(F(x)).
type Encoder struct {
	Backbone  backbone.Backbone // F
	Projector nn.Module         // g
	Predictor nn.Module         // q, or nil
	Others    []nn.Module       // further predictors of the same form (objective.Parts.Predictors)

	beside bool // q takes features
}

// newEncoder builds an encoder whose weights depend on the configuration and the seed
// alone, so that a student and a teacher of one configuration are equal. Only the student
// has a predictor and drops blocks: a teacher that drops them would give a noisier target,
// which the weak view is there to avoid (section 3.2; the paper does not say, and DINO's
// teacher drops none either).
func newEncoder(c Config, p objective.Parts, n norms, student bool) (*Encoder, error) {
	bc := c.backbone()
	bc.BatchNormGroups, bc.SyncBatchNorm, bc.Ranks = n.groups, n.together, c.Group
	bc.Blank = c.Start.File != ""
	if !student {
		bc.StochasticDepth = 0
	}
	f, err := backbone.New(c.Backbone, bc)
	if err != nil {
		return nil, err
	}
	e := &Encoder{Backbone: f}
	err = torch.Do(func() error {
		b := nn.Builder{Seed: c.Seed, Device: c.Device, Fused: c.Fused, Double: c.Double, BatchNormGroups: n.groups, SyncBatchNorm: n.together, Ranks: c.Group}
		e.Projector = newHead(b.At("projector"), f.FeatureDim(), p.Project)
		if student && p.Predict != nil {
			in := int64(p.Project.Out)
			if e.beside = p.Predict.OfFeatures; e.beside || p.Project.None {
				in = f.FeatureDim()
			}
			e.Predictor = newHead(b.At("predictor"), in, *p.Predict)
			for i := 1; i < p.Predictors; i++ {
				e.Others = append(e.Others, newHead(b.At(otherPredictor(i)), in, *p.Predict))
			}
		}
		return nil
	})
	if err != nil {
		nn.Free(f)
		return nil, err
	}
	return e, nil
}

// otherPredictor names the i-th predictor besides the first, from 1.
func otherPredictor(i int) string { return "predictor" + strconv.Itoa(i+1) }

// newHead builds a head (N,in) → (N,h.Out), layers named by their index as in PyTorch's
// Sequential.
func newHead(b nn.Builder, in int64, h objective.Head) *nn.Sequential {
	s := &nn.Sequential{}
	if h.None {
		return s
	}
	here := func() nn.Builder { return b.At(strconv.Itoa(len(s.Children))) }
	add := func(m nn.Module) { s.Children = append(s.Children, m) }
	for _, units := range h.Hidden {
		add(nn.NewLinear(here(), in, int64(units)))
		if h.BatchNorm {
			add(nn.NewBatchNorm(here(), int64(units)))
		}
		if h.GELU {
			add(nn.GELU{})
		} else {
			add(nn.ReLU{})
		}
		in = int64(units)
	}
	add(nn.NewLinear(here(), in, int64(h.Out)))
	if h.NormOut {
		add(nn.NewBatchNormWith(here(), int64(h.Out), nn.NormOptions{NoAffine: h.PlainOut}))
	}
	return s
}

// Forward maps normalised images (N,3,S,S) to embeddings (N,D), not yet of unit
// length.
func (e *Encoder) Forward(x *torch.Tensor) *torch.Tensor {
	return torch.Scope(func() *torch.Tensor {
		_, p, _ := e.Heads(e.Backbone.Forward(x))
		return p
	})
}

// Heads maps features (N,FeatureDim) to embeddings (N,D) of projector, predictor and
// the other predictors, not yet of unit length; p is z where there is no predictor.
func (e *Encoder) Heads(h *torch.Tensor) (z, p *torch.Tensor, others []*torch.Tensor) {
	z = e.Projector.Forward(h)
	if e.Predictor == nil {
		return z, z, nil
	}
	in := z
	if e.beside {
		in = h
	}
	p = e.Predictor.Forward(in)
	for _, q := range e.Others {
		others = append(others, q.Forward(in))
	}
	return z, p, others
}

// predictors are all that there are, by the names of their keys' beginning.
func (e *Encoder) predictors(f func(name string, q nn.Module)) {
	if e.Predictor == nil {
		return
	}
	f("predictor", e.Predictor)
	for i, q := range e.Others {
		f(otherPredictor(i+1), q)
	}
}

// Visit names backbone, projector and predictors.
func (e *Encoder) Visit(prefix string, f func(nn.Entry)) {
	e.Backbone.Visit(prefix+"backbone.", f)
	e.Projector.Visit(prefix+"projector.", f)
	e.predictors(func(name string, q nn.Module) { q.Visit(prefix+name+".", f) })
}

// SetTraining switches every batch norm.
func (e *Encoder) SetTraining(on bool) {
	e.Backbone.SetTraining(on)
	e.Projector.SetTraining(on)
	e.predictors(func(_ string, q nn.Module) { q.SetTraining(on) })
}
