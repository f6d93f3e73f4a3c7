package eval

import (
	"fmt"
	"math"
	"slices"

	"resslt/schemas/errs"
	"resslt/train/torch"
)

// Set holds the features of a source. It is outside all scopes and lives until Free.
type Set struct {
	X       *torch.Tensor // (N,D) float, not normalised
	Labels  []int32       // (N)
	Dim     int           // D
	IDs     []int64       // (N), sample ids, or nil if the source has none
	Targets []int8        // (N,C) as Images.Targets, or nil: one class for each image
}

// Len is N.
func (s *Set) Len() int { return len(s.Labels) }

// Free releases the features.
func (s *Set) Free() { s.X.Free() }

// NewSet makes a set of features (N,D), row-major.
func NewSet(features []float32, dim int, labels []int32, device torch.Device) (*Set, error) {
	if dim < 1 || len(labels) == 0 || len(features) != len(labels)*dim {
		return nil, errs.New("make feature set", "", "give N·D features for N labels",
			errs.Because(errs.ErrUsage, fmt.Sprintf("%d numbers, %d labels of %d", len(features), len(labels), dim)))
	}
	s := &Set{Labels: labels, Dim: dim}
	err := torch.Do(func() error {
		s.X = torch.FromFloat32(features, int64(len(labels)), int64(dim)).To(device, torch.Float32, false).Keep()
		return nil
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// check compares the lengths of a set's lists with its number of images.
func (s *Set) check() error {
	n := s.Len()
	if n == 0 || len(s.Targets)%n != 0 || len(s.IDs) != 0 && len(s.IDs) != n {
		return errs.New("make feature set", "", "give every image its id and its targets, or none of them",
			errs.Because(errs.ErrUsage, fmt.Sprintf("%d images, %d ids, %d targets", n, len(s.IDs), len(s.Targets))))
	}
	return nil
}

// numTargets is C of Targets, or 0 for a set with one label for each image.
func (s *Set) numTargets() int { return len(s.Targets) / max(1, s.Len()) }

// name is a row's image in error texts.
func (s *Set) name(row int) string {
	if row < len(s.IDs) {
		return fmt.Sprintf("image %d", s.IDs[row])
	}
	return fmt.Sprintf("row %d", row)
}

// target is +1, 0 or −1 of a row for a class, from Targets or Labels.
func (s *Set) target(row, class int) int8 {
	if s.Targets != nil {
		return s.Targets[row*s.numTargets()+class]
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
		out[i] = s.target(i, class)
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

// rows is a copy of the features, (N,D) row-major.
func (s *Set) rows() (x []float32, err error) {
	err = torch.Do(func() error { x = s.X.Float32s(); return nil })
	return x, err
}

// unitRows is a copy of the features with each row divided by its norm.
func (s *Set) unitRows() ([]float32, error) {
	x, err := s.rows()
	if err != nil {
		return nil, err
	}
	for i := range s.Len() {
		row := x[i*s.Dim : (i+1)*s.Dim]
		norm := 0.0
		for _, v := range row {
			norm += float64(float64(v) * float64(v))
		}
		norm = math.Sqrt(norm) + 1e-5 // PCL's guard against a zero norm
		for j := range row {
			row[j] = float32(float64(row[j]) / norm)
		}
	}
	return x, nil
}

// Select is the set of the given rows, in their order; a row may occur twice. The
// features are copied.
func (s *Set) Select(rows []int) (*Set, error) {
	if len(rows) == 0 {
		return nil, errs.New("select features", "", "choose one image or more", errs.Because(errs.ErrUsage, "no row is chosen"))
	}
	out := &Set{Dim: s.Dim}
	idx, c := make([]int64, len(rows)), s.numTargets()
	for i, r := range rows {
		idx[i] = int64(r)
		out.Labels = append(out.Labels, s.Labels[r])
		if s.IDs != nil {
			out.IDs = append(out.IDs, s.IDs[r])
		}
		if c > 0 {
			out.Targets = append(out.Targets, s.Targets[r*c:(r+1)*c]...)
		}
	}
	err := torch.Do(func() error {
		at := torch.FromInt64(idx, int64(len(idx))).To(s.X.Device(), torch.Int64, false)
		out.X = torch.IndexSelect(s.X, 0, at).Keep()
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// join concatenates two sets, a's images before b's. The features are copied.
func join(a, b *Set) (*Set, error) {
	if _, err := countClasses(a, b); err != nil {
		return nil, err
	}
	out := &Set{Dim: a.Dim, Labels: slices.Concat(a.Labels, b.Labels), Targets: slices.Concat(a.Targets, b.Targets)}
	if a.IDs != nil && b.IDs != nil {
		out.IDs = slices.Concat(a.IDs, b.IDs)
	}
	err := torch.Do(func() error {
		out.X = torch.Cat([]*torch.Tensor{a.X, b.X}, 0).Keep()
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// maxClasses bounds the score matrices; ImageNet-21k has 21,841.
const maxClasses = 1 << 16

// countClasses checks that sets match and returns the number of classes: that of their
// targets, or one more than the largest label. Errors wrap errs.ErrUsage and name what
// differs, or the image without label.
func countClasses(sets ...*Set) (int, error) {
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
		} else if s.numTargets() != first.numTargets() {
			return 0, bad(fmt.Sprintf("training images have %d targets each, test images %d", first.numTargets(), s.numTargets()), "use two splits of one data set")
		}
		if s.Targets != nil {
			n = s.numTargets()
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

// singleLabel is countClasses for protocols that need one class for each image.
func singleLabel(sets ...*Set) (int, error) {
	for _, s := range sets {
		if s.Targets != nil {
			return 0, errs.New("evaluate features", "", "use transfer or lowshot, which take images with several classes",
				errs.Because(errs.ErrUsage, "an image may show several classes here, and this protocol needs one for each image"))
		}
	}
	return countClasses(sets...)
}
