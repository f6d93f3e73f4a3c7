package train

import (
	"fmt"
	"math"

	"resslt/train/nn"
	"resslt/train/objective"
	"resslt/train/torch"
)

// draws are the random numbers that the objective wants (objective.Draw), for this rank's rows
// of a micro-batch, and the labels that some of them show. A row's numbers are a function of the
// seed, the step and its place in the whole batch, so that any number of ranks and of micro-batches
// draws the same. The tensors belong to the current scope.
func (l *Learner) draws(h Hyper, micro, rows int) map[string]*torch.Tensor {
	if len(l.parts.Draws) == 0 && !l.parts.Labels {
		return nil
	}
	c := l.config
	first, _ := c.Group.Rows(rows * c.Accumulate * c.Group.World())
	first += micro * rows
	var wanted []objective.Draw
	for _, d := range l.parts.Draws {
		if d.Columns > 0 && !(d.Ramp && h.Alpha >= 1) {
			wanted = append(wanted, d)
		}
	}
	out, columns := map[string]*torch.Tensor{}, make([]drawn, len(wanted))
	for row := range rows {
		r := nn.Random(c.Seed, fmt.Sprintf("objective draw %d.%d", h.Step, first+row))
		for i, d := range wanted {
			columns[i].add(d, r)
		}
	}
	for i, d := range wanted {
		out[d.Name] = columns[i].tensor(d, rows, c)
	}
	if l.parts.Labels {
		var classes drawn
		for _, label := range h.Labels[micro*rows : (micro+1)*rows] {
			classes.whole = append(classes.whole, int64(label))
		}
		out[objective.Labels] = classes.tensor(objective.Draw{Columns: 1, Below: c.Options.Classes}, rows, c)
	}
	return out
}

// drawn are the elements of one Draw, of one kind.
type drawn struct {
	whole  []int64
	shares []float32
}

// add draws a row.
func (n *drawn) add(d objective.Draw, r *nn.Rand) {
	for range d.Columns {
		if d.Below > 0 {
			n.whole = append(n.whole, int64(r.Below(d.Below)))
		} else {
			n.shares = append(n.shares, float32(math.Floor(r.Uniform()*0x1p24)*0x1p-24)) // no rounding up to 1
		}
	}
}

// tensor is (rows,Columns) on the device.
func (n *drawn) tensor(d objective.Draw, rows int, c Config) *torch.Tensor {
	shape := []int64{int64(rows), int64(d.Columns)}
	if d.Below > 0 {
		return torch.FromInt64(n.whole, shape...).To(c.Device, torch.Int64, true)
	}
	return torch.FromFloat32(n.shares, shape...).To(c.Device, c.dtype(), true)
}
