package eval

import (
	"fmt"

	"resslt/schemas/errs"
	"resslt/train/torch"
)

// maxClasses bounds the score matrices; ImageNet-21k has 21,841.
const maxClasses = 1 << 16

// Classes checks sets against one another and gives the number of classes: that
// of their targets, or one above the greatest label. Its error wraps
// errs.ErrUsage and names both sides: another width, an image without label.
func Classes(sets ...*Set) (int, error) {
	bad := func(why, hint string) error {
		return errs.New("evaluate features", "", hint, errs.Because(errs.ErrUsage, why))
	}
	n := 0
	for i, s := range sets {
		if s.Len() == 0 {
			return 0, bad("a set is empty", "give images")
		}
		if first := sets[0]; s.Dim != first.Dim {
			return 0, bad(fmt.Sprintf("training features have %d dimensions, test features %d", first.Dim, s.Dim), "use one backbone for both")
		} else if s.NumTargets() != first.NumTargets() {
			return 0, bad(fmt.Sprintf("training images have %d targets each, test images %d", first.NumTargets(), s.NumTargets()), "use two splits of one data set")
		}
		if s.Targets != nil {
			n = s.NumTargets()
			continue
		}
		for row, l := range s.Labels {
			if l < 0 || l >= maxClasses {
				return 0, bad(fmt.Sprintf("a label is %d: %s of set %d of %d", l, s.name(row), i+1, len(sets)),
					fmt.Sprintf("evaluate on labelled images, classes 0 to %d", maxClasses-1))
			}
			n = max(n, int(l)+1)
		}
	}
	return n, nil
}

// singleLabel is Classes for protocols that want one class an image.
func singleLabel(sets ...*Set) (int, error) {
	for _, s := range sets {
		if s.Targets != nil {
			return 0, errs.New("evaluate features", "", "use transfer or lowshot, which take images with several classes",
				errs.Because(errs.ErrUsage, "an image may show several classes here, and this protocol wants one each"))
		}
	}
	return Classes(sets...)
}

// NumTargets is C of Targets, or 0 for a set with one label an image.
func (s *Set) NumTargets() int { return len(s.Targets) / max(1, s.Len()) }

// name is how an error calls the image of a row.
func (s *Set) name(row int) string {
	if row < len(s.IDs) {
		return fmt.Sprintf("image %d", s.IDs[row])
	}
	return fmt.Sprintf("row %d", row)
}

// Target is +1, 0 or −1 of a row for a class, whichever way the set has it.
func (s *Set) Target(row, class int) int8 {
	if s.Targets != nil {
		return s.Targets[row*s.NumTargets()+class]
	}
	if int(s.Labels[row]) == class {
		return 1
	}
	return -1
}

// column is every row's target for a class.
func (s *Set) column(class int) []int8 {
	out := make([]int8, s.Len())
	for i := range out {
		out[i] = s.Target(i, class)
	}
	return out
}

// labels is a set's labels as (N) int64 on its features' device.
func (s *Set) labels() *torch.Tensor { return labelTensor(s.Labels, s.X.Device()) }

func labelTensor(labels []int32, device torch.Device) *torch.Tensor {
	l := make([]int64, len(labels))
	for i, v := range labels {
		l[i] = int64(v)
	}
	return torch.FromInt64(l, int64(len(l))).To(device, torch.Int64, false)
}

// Rows is a copy of the features, (N,D) row-major.
func (s *Set) Rows() (x []float32, err error) {
	err = torch.Do(func() error { x = s.X.Float32s(); return nil })
	return x, err
}
