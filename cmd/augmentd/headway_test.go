package main

import (
	"slices"
	"testing"

	"resslt/cmd/internal/pipeline"
)

// Bytes that are hashed and names that are listed count as progress, a megabyte or a thousand of
// them; what trickles does not.
func TestHeadway(t *testing.T) {
	for name, tc := range map[string]struct {
		steps []pipeline.Headway
		want  []bool // whether each counts
	}{
		"a huge bucket": {[]pipeline.Headway{{Files: 256}, {Files: 1024}, {Files: 1280}, {Files: 2048}}, []bool{false, true, false, true}},
		"a large file":  {[]pipeline.Headway{{Bytes: 1 << 19}, {Bytes: 1 << 20}, {Bytes: 1<<20 + 1}, {Bytes: 1 << 21}}, []bool{false, true, false, true}},
		"a trickle":     {[]pipeline.Headway{{Bytes: 1}, {Bytes: 2, Files: 1}, {Bytes: 3, Files: 2}}, []bool{false, false, false}},
	} {
		counted := 0
		goes := headway(func() { counted++ })
		var got []bool
		for _, now := range tc.steps {
			before := counted
			goes(now)
			got = append(got, counted > before)
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("%s: %v", name, got)
		}
	}
}
