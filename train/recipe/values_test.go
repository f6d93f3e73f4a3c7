package recipe

import (
	"testing"

	"resslt/schemas/errs"
	"resslt/schemas/errs/errstest"
)

// A value of another type is refused in words of the recipe, not of the program.
func TestBadValues(t *testing.T) {
	for set, says := range map[string]string{
		"epochs=three":                "epochs is three, not a whole number",
		"epochs=[1]":                  "epochs is a list, not a whole number",
		"epochs={a: 1}":               "epochs is a map, not a whole number",
		"epochs=99999999999999999999": "epochs is 99999999999999999999, which is too large",
		"epochs=":                     "epochs is empty, not a whole number",
		"seed=-1":                     "seed is -1, not a whole number from 0",
		"base_lr=big":                 "base_lr is big, not a number",
		"predictor=maybe":             "predictor is maybe, not true or false",
		"knn_k=3":                     "knn_k is 3, not a list such as [a, b]",
		"knn_k=[a]":                   "knn_k is a, not a whole number",
		"knn_k=[1.5]":                 "knn_k is 1.5, not a whole number",
	} {
		r := Default()
		was := r
		errstest.Want(t, r.Set(set), errs.ErrUsage, "--set "+set, says, "recipe show")
		if d := r.differences(&was, func(string) bool { return true }); len(d) != 0 {
			t.Errorf("%s is refused, and changed %v", set, d)
		}
	}
	_, err := Parse("mine.yaml", []byte("data: \"fashion-mnist:\"\nepochs: many\n"))
	errstest.Want(t, err, errs.ErrUsage, "a value is many, not a whole number at 2:9")
}
