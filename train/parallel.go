package train

import (
	"fmt"

	"resslt/schemas/errs"
	"resslt/train/nn"
	"resslt/train/objective"
	"resslt/train/torch"
)

// Data parallel: W processes, of which rank r trains rows [r·B/W, (r+1)·B/W) of
// every batch, and after every step all hold the same state, to the bit. It is the
// state of one process with the whole batch, but for rounding:
//
//	batch norm     with one group: of all ranks' rows together (SyncBatchNorm).
//	               With G groups: each rank has G/W of them, and the teacher's rows
//	               change places over all ranks by the permutation of one process
//	loss           of this rank's rows; where the objective compares the batch's rows
//	               with each other, of the whole batch, on every rank
//	gradients      their mean over the ranks, before the optimiser's step
//	statistics     their mean over the ranks, and running ones too
//	queue          takes every rank's keys, in order of rows
//
// A loss is summed over the ranks, so that one that is not finite ends them all at one
// step: at once on CPUs, two steps late on GPUs.

// norms says how batch norm sees a batch that lies over several ranks.
type norms struct {
	groups   int          // of this rank's rows
	together *torch.Group // whose rows share statistics; nil: each its own
	shuffled bool         // the teacher's rows change groups
}

// norms is the configuration's; an error wraps errs.ErrUsage where the groups
// cannot be laid over the ranks.
func (c Config) norms() (norms, error) {
	world := c.Group.World()
	switch {
	case world == 1:
		return norms{groups: c.Groups, shuffled: c.Groups > 1}, nil
	case c.Groups == 1 && c.LocalNorm:
		return norms{groups: 1, shuffled: true}, nil
	case c.Groups == 1:
		return norms{groups: 1, together: c.Group}, nil
	case c.Groups%world != 0:
		return norms{}, errs.New("learner option", "batch norm groups", "give a multiple of the number of ranks, or 1",
			errs.Because(errs.ErrUsage, fmt.Sprintf("%d do not fall evenly on %d ranks", c.Groups, world)))
	}
	return norms{groups: c.Groups / world, shuffled: true}, nil
}

// reduce makes gradients the mean over the ranks, and running statistics too where
// each rank has its own: the state stays one.
func (l *Learner) reduce() {
	g := l.config.Group
	if g == nil {
		return
	}
	torch.NoGrad(func() {
		torch.ScopeDo(func() {
			var list []*torch.Tensor
			for _, p := range nn.Parameters(l.student) {
				if grad := p.Tensor.Grad(); grad != nil {
					list = append(list, grad)
				}
			}
			if l.norms.together == nil {
				for _, e := range []*Encoder{l.student, l.teacher} {
					if e == nil {
						continue
					}
					for _, b := range buffers(e) {
						if b.DType() != torch.Int64 {
							list = append(list, b)
						}
					}
				}
			}
			g.Mean(list)
		})
	})
}

// overRanks are a pass's loss and description, means over the ranks. The loss that
// comes back is for the eye: backward starts from this rank's.
func (l *Learner) overRanks(loss, description *torch.Tensor) (_, _ *torch.Tensor) {
	g := l.config.Group
	if g == nil {
		return loss, description
	}
	torch.NoGrad(func() {
		all := torch.Unsqueeze(loss.Detach(), 0)
		if description != nil {
			all = torch.Cat([]*torch.Tensor{all, description}, 0)
		} else {
			all = torch.Clone(all)
		}
		g.Sum(all)
		all = torch.DivScalar(all, float64(g.World()))
		loss = torch.Select(all, 0, 0)
		if description != nil {
			description = torch.Narrow(all, 0, 1, all.Size(0)-1)
		}
	})
	return loss, description
}

// wholeBatch are a view's embeddings of all ranks, of which this rank's carry the
// gradient.
func (l *Learner) wholeBatch(e objective.Embedding) objective.Embedding {
	g := l.config.Group
	join := func(z *torch.Tensor) *torch.Tensor {
		parts := torch.Chunk(g.Gather(z.Detach()), int64(g.World()), 0)
		parts[g.Rank()] = z
		return torch.Cat(parts, 0)
	}
	z := join(e.Z)
	if e.P == e.Z {
		return objective.Embedding{Z: z, P: z}
	}
	return objective.Embedding{Z: z, P: join(e.P)}
}

// walkBack is backward from a pass's loss. Where every rank takes the loss of the
// whole batch, the mean over the ranks would leave its rows 1/W of their gradient.
func (l *Learner) walkBack(loss *torch.Tensor) {
	if g := l.config.Group; g != nil && l.parts.InBatch {
		loss.BackwardWith(torch.Scalar(float64(g.World()), loss.DType(), loss.Device()), false)
		return
	}
	loss.Backward()
}
