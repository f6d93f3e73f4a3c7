package sheet

import (
	"fmt"
	"image"
	"slices"

	"resslt/augment"
	"resslt/batcher/wire"
	"resslt/schemas"
	"resslt/schemas/errs"
)

// Slot is a sample of a step as it was trained on.
type Slot struct {
	Step            int64
	Slot            int32
	Sample, Planned int64 // Planned is another where that could not be decoded
	Label           int32 // or schemas.NoLabel
	Reason          string
	Plans           []augment.Plan // of each view
	Pixels          [][]byte       // of each view, (S,S,3) uint8
}

// Slots are rows of a chunk from row on, at most n of them. Their pixels are copies. It returns
// ErrTombstone of a chunk that could not be made.
func Slots(spec *schemas.RunSpec, c *wire.Chunk, row, n int) ([]Slot, error) {
	if c.Tombstone != "" {
		return nil, errs.Tombstone("show", fmt.Sprintf("chunk %d of step %d", c.Index, c.Step), c.Tombstone, "")
	}
	var out []Slot
	for i := row; i < min(row+n, c.Rows()); i++ {
		s := Slot{
			Step: c.Step, Slot: c.Slots[i], Sample: c.Samples[i], Planned: c.Planned[i], Label: c.Labels[i], Reason: c.Reasons[i],
			Plans: make([]augment.Plan, len(spec.Views)), Pixels: make([][]byte, len(spec.Views)),
		}
		for v, view := range spec.Views {
			var err error
			if s.Plans[v], err = augment.ParsePlan(c.Plans[v][i]); err != nil {
				return nil, err
			}
			s.Pixels[v] = slices.Clone(c.Pixels[v][i*view.Bytes() : (i+1)*view.Bytes()])
		}
		out = append(out, s)
	}
	return out, nil
}

// Title says which sample it is.
func (s *Slot) Title() string {
	title := fmt.Sprintf("step %d slot %d sample %d label %d", s.Step, s.Slot, s.Sample, s.Label)
	if s.Reason != "" {
		title += fmt.Sprintf(" in place of %d: %s", s.Planned, s.Reason)
	}
	return title
}

// Row draws the slot's views, its title in front.
func (s *Slot) Row(views []schemas.ViewSpec) *image.RGBA {
	return recorded(s.Title(), views, s.Plans, s.Pixels)
}

// View is a view of the slot as it is, without a frame.
func (s *Slot) View(v int, view schemas.ViewSpec) *image.RGBA {
	return enlarge(s.Pixels[v], view.Size, view.Size, view.Size, view.Size, false)
}
