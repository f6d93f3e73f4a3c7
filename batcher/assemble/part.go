package assemble

import (
	"fmt"

	"resslt/schemas/errs"
)

// Part is which rows of every batch a trainer takes, where several train one model
// together: of Of equal runs of rows, the one of number Index. The zero Part is the
// whole batch.
type Part struct{ Index, Of int }

// Rows is the half-open range of the part's rows in a batch of size rows.
func (p Part) Rows(size int) (from, to int) {
	n := max(1, p.Of)
	return p.Index * size / n, (p.Index + 1) * size / n
}

// Trainer is the name of the part's trainer in the run, of a group under name.
func (p Part) Trainer(name string) string {
	if p.Index == 0 {
		return name
	}
	return fmt.Sprintf("%s-rank%d", name, p.Index)
}

// Validate returns ErrUsage for a part that a batch of size rows has not.
func (p Part) Validate(size int) error {
	if p == (Part{}) || p.Index >= 0 && p.Index < p.Of && size%p.Of == 0 {
		return nil
	}
	return errs.New("part of a batch", fmt.Sprintf("%d of %d", p.Index, p.Of), "give a batch size that the number of parts divides",
		errs.Because(errs.ErrUsage, fmt.Sprintf("a batch has %d rows", size)))
}
