package eval

import (
	"fmt"
	"slices"
	"strconv"

	"resslt/schemas/errs"
	"resslt/train/nn"
)

// members lists the rows of each class in ascending order.
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

// Stratified chooses a fraction of every class's rows, rounded to the nearest number
// and at least one, by a permutation keyed by (seed, class). The rows are in ascending
// order. Errors wrap errs.ErrUsage: a fraction outside (0,1), or a row without label.
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

// HoldOut splits a set in two, for data without a validation split. The fraction goes to
// held, stratified by class, or drawn from all images if they may show several classes.
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

// drawShots draws k images of each class, as in the low-shot protocol of Table 11 (and
// PCL's, which it follows): class by class, so that an image with two classes may occur
// twice. The draw depends on (seed, k, draw). A class with fewer than k images is an
// error that wraps errs.ErrUsage.
func drawShots(s *Set, k, draw int, seed uint64) ([]int, error) {
	n, err := countClasses(s)
	if err != nil {
		return nil, err
	}
	var out []int
	for class := range n {
		var rows []int
		for r := range s.Len() {
			if s.target(r, class) > 0 {
				rows = append(rows, r)
			}
		}
		if len(rows) < k {
			return nil, errs.New("draw few shots", fmt.Sprintf("class %d", class), fmt.Sprintf("give k of at most %d", len(rows)),
				errs.Because(errs.ErrUsage, fmt.Sprintf("it has %d images, k is %d", len(rows), k)))
		}
		order := nn.Random(seed, fmt.Sprintf("shots %d %d %d", k, draw, class)).Permutation(len(rows))
		for _, i := range order[:k] {
			out = append(out, rows[i])
		}
	}
	return out, nil
}
