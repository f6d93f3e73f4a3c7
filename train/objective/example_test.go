package objective_test

import (
	"fmt"

	"resslt/train/objective"
)

// The statistics of a step and where they are shown.
func ExampleShown() {
	for _, s := range objective.Shown()[3:5] {
		fmt.Println(s.Key, s.Tag, s.Line(0.25))
	}
	// Output:
	// embedding_std collapse/embedding_std std 0.2500
	// target_entropy collapse/target_entropy H(p²) 0.25
}
