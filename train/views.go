package train

import (
	"fmt"
	"slices"
	"time"

	"resslt/schemas"
	"resslt/schemas/errs"
	"resslt/train/nn"
	"resslt/train/recipe"
	"resslt/train/torch"
)

// views are a batch's pixels by the network that sees them, (B,S,S,3) uint8 each, of one
// B, S free by view.
type views struct{ teacher, student []*torch.Tensor }

// part is rows [i·B/n, (i+1)·B/n) of every view.
func (v views) part(i, n int) views {
	return views{rowsOf(v.teacher, i, n), rowsOf(v.student, i, n)}
}

// keys are those of the teacher's views that a key encoder sees.
func (v views) keys(indices []int) (out []*torch.Tensor) {
	for _, i := range indices {
		out = append(out, v.teacher[i])
	}
	return out
}

// rows is B.
func (v views) rows() int { return int(v.student[0].Size(0)) }

func rowsOf(views []*torch.Tensor, i, n int) []*torch.Tensor {
	if n == 1 {
		return views
	}
	out := make([]*torch.Tensor, len(views))
	for v, x := range views {
		rows := x.Size(0) / int64(n)
		out[v] = torch.Narrow(x, 0, int64(i)*rows, rows)
	}
	return out
}

// passes are the student's views by pass: one each, or all in one where the objective
// couples them.
func (v views) passes(coupled bool) [][]*torch.Tensor {
	if coupled {
		return [][]*torch.Tensor{v.student}
	}
	return slices.Collect(slices.Chunk(v.student, 1))
}

// Views copies the batch's pixels into tensors (B,S,S,3) uint8 of the current
// scope: the views that the objective gives to each network (recipe.Sides), which may
// be the same ones. After that the batch may be released.
func (l *Learner) Views(b *schemas.Batch) (teacher, student []*torch.Tensor, err error) {
	t, s, err := recipe.Sides(l.config.Objective, l.config.Crops, b.Views)
	if err != nil {
		return nil, nil, err
	}
	tensors := make([]*torch.Tensor, len(b.Views))
	began := time.Now()
	defer func() { l.timers.add(phaseCopy, time.Since(began)) }()
	pick := func(indices []int) (out []*torch.Tensor) {
		for _, v := range indices {
			if tensors[v] == nil {
				size := int64(b.Views[v].Size)
				tensors[v] = torch.FromUint8(b.Pixels[v], int64(b.Size), size, size, 3)
			}
			out = append(out, tensors[v])
		}
		return out
	}
	return pick(t), pick(s), nil
}

// checkViews refuses views that a step cannot take.
func (l *Learner) checkViews(v views) error {
	wrong := func(hint, why string) error {
		return errs.New("training step", "views", hint, errs.Because(errs.ErrUsage, why))
	}
	p := l.parts
	more := p.Locals && len(v.student) > p.StudentViews
	if len(v.teacher) != p.TeacherViews || len(v.student) == 0 || p.StudentViews > 0 && len(v.student) != p.StudentViews && !more {
		want := "at least one student view"
		if p.StudentViews > 0 {
			want = fmt.Sprintf("%d student views", p.StudentViews)
		}
		if p.Locals {
			want += " or more"
		}
		return wrong(fmt.Sprintf("give %s %d teacher and %s", l.config.Objective, p.TeacherViews, want),
			fmt.Sprintf("got %d teacher and %d student views", len(v.teacher), len(v.student)))
	}
	rows := int64(0)
	for _, x := range slices.Concat(v.teacher, v.student) {
		if err := nn.CheckPixels(x); err != nil {
			return err
		}
		if rows == 0 {
			rows = x.Size(0)
		}
		if x.Size(0) != rows {
			return wrong("give every view the same batch size", fmt.Sprintf("one view has %d samples, another %d", rows, x.Size(0)))
		}
	}
	n := int64(l.config.Accumulate * l.parallel.norms.groups)
	if p.Pairs && rows%(2*n) != 0 {
		return wrong("give a batch size of which every rank, micro-batch and group of batch norm has whole pairs",
			fmt.Sprintf("%d samples do not fall into %d equal parts of pairs", rows, n))
	}
	if rows%n != 0 {
		return wrong("give a batch size that accumulate·bn_groups divides",
			fmt.Sprintf("%d samples do not fall into %d equal micro-batches of %d equal groups", rows, l.config.Accumulate, l.parallel.norms.groups))
	}
	return nil
}

// cat joins along rows.
func cat(t []*torch.Tensor) *torch.Tensor {
	if len(t) == 1 {
		return t[0]
	}
	return torch.Cat(t, 0)
}

// scoped is torch.ScopeN for a function that may return an error: every tensor made inside
// is freed, but for those returned.
func scoped(fn func() (collected, error)) (out collected, err error) {
	torch.ScopeN(func() []*torch.Tensor {
		out, err = fn()
		return out.tensors()
	})
	return out, err
}
