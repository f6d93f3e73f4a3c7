package eval

import (
	"fmt"
	"slices"
	"strconv"

	"resslt/schemas/errs"
	"resslt/train/nn"
	"resslt/train/torch"
)

// Select is the set of the given rows, in their order; a row may come twice. The
// features are copied.
func (s *Set) Select(rows []int) (*Set, error) {
	if len(rows) == 0 {
		return nil, errs.New("select features", "", "choose one image or more", errs.Because(errs.ErrUsage, "no row is chosen"))
	}
	out := &Set{Dim: s.Dim}
	idx, c := make([]int64, len(rows)), s.NumTargets()
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

// Join is the images of both sets, a's before b's. The features are copied.
func Join(a, b *Set) (*Set, error) {
	if _, err := Classes(a, b); err != nil {
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

// members lists the rows of each class, in order of row.
func members(labels []int32) [][]int {
	n := int32(0)
	for _, l := range labels {
		n = max(n, l+1)
	}
	rows := make([][]int, n)
	for i, l := range labels {
		if l >= 0 {
			rows[l] = append(rows[l], i)
		}
	}
	return rows
}

// Stratified chooses the fraction of every class's rows, rounded to the nearest
// number and one at least, by a permutation keyed by (seed, class). The rows
// come in ascending order. Its error wraps errs.ErrUsage for a fraction
// outside (0,1) and for a row without label.
func Stratified(labels []int32, fraction float64, seed uint64) ([]int, error) {
	if !(fraction > 0 && fraction < 1) {
		return nil, errs.New("choose labelled images", fmt.Sprint(fraction), "give a fraction between 0 and 1, such as 0.01",
			errs.Because(errs.ErrUsage, "the fraction is out of range"))
	}
	if i := slices.IndexFunc(labels, func(l int32) bool { return l < 0 }); i >= 0 {
		return nil, errs.New("choose labelled images", fmt.Sprintf("row %d", i), "give labelled images",
			errs.Because(errs.ErrUsage, "it has no label"))
	}
	var out []int
	for class, rows := range members(labels) {
		want := min(len(rows), max(1, int(float64(fraction*float64(len(rows)))+0.5)))
		order := nn.Random(seed, "stratified "+strconv.Itoa(class)).Permutation(len(rows))
		for _, i := range order[:want] {
			out = append(out, rows[i])
		}
	}
	slices.Sort(out)
	return out, nil
}

// HoldOut splits a set in two, for data that come without a validation split:
// the fraction goes to held, class by class where each image has one class, and
// of all images alike where it may have several.
func HoldOut(s *Set, fraction float64, seed uint64) (rest, held *Set, err error) {
	strata := s.Labels
	if s.Targets != nil {
		strata = make([]int32, s.Len())
	}
	chosen, err := Stratified(strata, fraction, seed)
	if err != nil {
		return nil, nil, err
	}
	in := make([]bool, s.Len())
	for _, r := range chosen {
		in[r] = true
	}
	var other []int
	for r, held := range in {
		if !held {
			other = append(other, r)
		}
	}
	if len(other) == 0 {
		return nil, nil, errs.New("hold out a validation split", "", "give more images a class, or a validation split",
			errs.Because(errs.ErrUsage, fmt.Sprintf("all %d images would be held out", s.Len())))
	}
	if rest, err = s.Select(other); err != nil {
		return nil, nil, err
	}
	if held, err = s.Select(chosen); err != nil {
		rest.Free()
		return nil, nil, err
	}
	return rest, held, nil
}

// Shots draws k images that show each class, as the low-shot protocol of Table
// 11 does (PCL's, which it follows): class after class, so that an image which
// shows two classes may come twice. The draw depends on (seed, k, draw). A class
// with fewer than k images is an error that wraps errs.ErrUsage.
func Shots(s *Set, k, draw int, seed uint64) ([]int, error) {
	n, err := Classes(s)
	if err != nil {
		return nil, err
	}
	var out []int
	for class := range n {
		var rows []int
		for r := range s.Len() {
			if s.Target(r, class) > 0 {
				rows = append(rows, r)
			}
		}
		if len(rows) < k {
			return nil, errs.New("draw few shots", fmt.Sprintf("class %d", class), fmt.Sprintf("ask for at most %d a class", len(rows)),
				errs.Because(errs.ErrUsage, fmt.Sprintf("it has %d images, k is %d", len(rows), k)))
		}
		order := nn.Random(seed, fmt.Sprintf("shots %d %d %d", k, draw, class)).Permutation(len(rows))
		for _, i := range order[:k] {
			out = append(out, rows[i])
		}
	}
	return out, nil
}
