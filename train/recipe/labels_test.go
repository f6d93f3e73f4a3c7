package recipe_test

import (
	"errors"
	"strings"
	"testing"

	"resslt/train/recipe"
)

// Of batches with few labels many have none.
func TestFewLabelsWarning(t *testing.T) {
	for set, warned := range map[string]bool{"label_fraction=0.1": false, "label_fraction=0.05": true} {
		r, err := recipe.Load("smoke") // batches of 64
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(r.Set("objective=fixmatch", "classes=10", set), r.Resolve(host)); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(strings.Join(r.Warnings(), "\n"), "labels on average"); got != warned {
			t.Errorf("%s: %v", set, r.Warnings())
		}
	}
}
