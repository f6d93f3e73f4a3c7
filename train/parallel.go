package train

import (
	"fmt"

	"resslt/schemas/errs"
	"resslt/train/nn"
	"resslt/train/objective"
	"resslt/train/torch"
)

// dataParallel spreads a step over W processes, of which rank r trains rows
// [r·B/W, (r+1)·B/W) of every batch; after every step all hold the same state, to the bit.
// It is the state of one process with the whole batch, but for rounding:
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
//
// With a nil group it is one process, and its methods give back what they are given.
type dataParallel struct {
	group   *torch.Group
	norms   norms
	inBatch bool // the objective compares the batch's rows with each other
	frozen  frozen
	device  torch.Device
}

// norms says how batch norm sees a batch that is spread over several ranks.
type norms struct {
	groups   int          // of this rank's rows
	together *torch.Group // whose rows share statistics; nil: each rank has its own
	shuffled bool         // the teacher's rows change groups
}

// norms is the configuration's; an error wraps errs.ErrUsage where the groups do not
// divide among the ranks.
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
			errs.Because(errs.ErrUsage, fmt.Sprintf("%d do not divide evenly among %d ranks", c.Groups, world)))
	}
	return norms{groups: c.Groups / world, shuffled: true}, nil
}

// shuffle puts the rows of x, all ranks' together, into an order drawn from r, and gives
// this rank's share of them. back takes what was computed from those rows, one row each,
// and puts it into the order of x again.
func (p *dataParallel) shuffle(x *torch.Tensor, r *nn.Rand) (shuffled *torch.Tensor, back func(*torch.Tensor) *torch.Tensor) {
	if p.group != nil {
		x = p.group.Gather(x.To(p.device, torch.Uint8, false))
	}
	order := r.Permutation(int(x.Size(0)))
	inverse := make([]int64, len(order))
	for i, row := range order {
		inverse[row] = int64(i)
	}
	from, to := p.group.Rows(len(order))
	rows := func(index []int64) *torch.Tensor { return torch.FromInt64(index[from:to], int64(to-from)) }
	shuffled = torch.IndexSelect(x, 0, rows(order).To(x.Device(), torch.Int64, true))
	restore := rows(inverse)
	return shuffled, func(z *torch.Tensor) *torch.Tensor {
		return torch.IndexSelect(p.group.Gather(z), 0, restore.To(z.Device(), torch.Int64, true))
	}
}

// wholeBatch gives the views' embeddings of all ranks, of which this rank's carry the
// gradient, where the objective compares the batch's rows with each other; else e.
func (p *dataParallel) wholeBatch(e []objective.Embedding) []objective.Embedding {
	if p.group == nil || !p.inBatch {
		return e
	}
	gather := func(z *torch.Tensor) *torch.Tensor {
		parts := torch.Chunk(p.group.Gather(z.Detach()), int64(p.group.World()), 0)
		parts[p.group.Rank()] = z
		return torch.Cat(parts, 0)
	}
	out := make([]objective.Embedding, len(e))
	for i, own := range e {
		out[i].Z = gather(own.Z)
		if out[i].P = out[i].Z; own.P != own.Z {
			out[i].P = gather(own.P)
		}
		for _, q := range own.Others {
			out[i].Others = append(out[i].Others, gather(q))
		}
	}
	return out
}

// wholeRows gives the teacher's embeddings of all ranks where the objective compares the
// batch's rows with each other; else z.
func (p *dataParallel) wholeRows(z []*torch.Tensor) []*torch.Tensor {
	if p.group == nil || !p.inBatch {
		return z
	}
	out := make([]*torch.Tensor, len(z))
	for i, own := range z {
		out[i] = p.group.Gather(own)
	}
	return out
}

// mean gives a pass's loss and description (or nil), averaged over the ranks. The loss is
// to be read: backward starts from this rank's own.
func (p *dataParallel) mean(loss, description *torch.Tensor) (_, _ *torch.Tensor) {
	if p.group == nil {
		return loss, description
	}
	torch.NoGrad(func() {
		all := torch.Unsqueeze(loss.Detach(), 0)
		if description != nil {
			all = torch.Cat([]*torch.Tensor{all, description}, 0)
		} else {
			all = torch.Clone(all)
		}
		p.group.Sum(all)
		all = torch.DivScalar(all, float64(p.group.World()))
		loss = torch.Select(all, 0, 0)
		if description != nil {
			description = torch.Narrow(all, 0, 1, all.Size(0)-1)
		}
	})
	return loss, description
}

// backward starts from this rank's loss. Where that is the loss of the whole batch on every
// rank, the mean of the gradients would leave this rank's rows 1/W of theirs.
func (p *dataParallel) backward(loss *torch.Tensor) {
	if p.group != nil && p.inBatch {
		loss.BackwardWith(torch.Scalar(float64(p.group.World()), loss.DType(), loss.Device()), false)
		return
	}
	loss.Backward()
}

// reduce averages the student's and the objective's gradients over the ranks, and where each
// rank has running statistics of its own those of all networks: so the ranks stay in one
// state.
func (p *dataParallel) reduce(s *student, averages []*teacher, o *state) {
	if p.group == nil {
		return
	}
	torch.NoGrad(func() {
		torch.ScopeDo(func() {
			var list []*torch.Tensor
			collect := func(params []nn.Named, share float64) {
				for _, param := range params {
					if grad := param.Tensor.Grad(); grad != nil {
						if share != 1 {
							torch.MulScalar_(grad, share)
						}
						list = append(list, grad)
					}
				}
			}
			collect(trainable(s), 1)
			share := 1.0
			if p.inBatch { // backward made the gradient of the whole batch on every rank, times W
				share = 1 / float64(p.group.World())
			}
			collect(o.params, share)
			if p.norms.together == nil {
				list = append(list, p.statistics(s)...)
				for _, t := range averages {
					if t.digest == nil {
						list = append(list, p.statistics(t)...)
					}
				}
			}
			p.group.Mean(list)
		})
	})
}

// statistics are a network's running statistics, but for those of frozen norms: a mean of equal
// numbers may round.
func (p *dataParallel) statistics(m nn.Module) (out []*torch.Tensor) {
	m.Visit("", func(e nn.Entry) {
		if !e.Parameter && isFloat(e.Tensor) && !p.frozen.keeps(e.Name) {
			out = append(out, e.Tensor)
		}
	})
	return out
}

// gather joins what the micro-batches of every rank have collected, in order of rows.
// Where the objective sees the whole batch its rows are that already.
func (p *dataParallel) gather(all []collected) collected {
	join := func(of func(collected) []*torch.Tensor, whole bool) (joined []*torch.Tensor) {
		for i := range of(all[0]) {
			var parts []*torch.Tensor
			for _, c := range all {
				parts = append(parts, of(c)[i])
			}
			rows := cat(parts)
			if !whole {
				rows = p.group.Gather(rows)
			}
			joined = append(joined, rows)
		}
		return joined
	}
	return collected{
		keys: join(func(c collected) []*torch.Tensor { return c.keys }, false),
		rows: join(func(c collected) []*torch.Tensor { return c.rows }, p.inBatch),
	}
}

// buffers are a module's tensors that are no parameters, of which keep says which.
func buffers(m nn.Module, keep func(*torch.Tensor) bool) (out []*torch.Tensor) {
	m.Visit("", func(e nn.Entry) {
		if !e.Parameter && keep(e.Tensor) {
			out = append(out, e.Tensor)
		}
	})
	return out
}

// isCounter and isFloat distinguish batch norm's counters of batches, int64, from its
// running statistics.
func isCounter(t *torch.Tensor) bool { return t.DType() == torch.Int64 }

func isFloat(t *torch.Tensor) bool { return !isCounter(t) }
