package runs

import (
	"testing"

	"resslt/batcher/internal/fixture"
	"resslt/schemas"
)

func TestDefaultWindow(t *testing.T) {
	for _, tc := range []struct {
		size, batch int
		want        int64
	}{
		{32, 256, 64},  // 1.6 MB a step
		{224, 64, 27},  // 19 MB
		{224, 1024, 2}, // 308 MB
	} {
		s := fixture.Spec()
		s.Views = []schemas.ViewSpec{{Name: "a", Size: tc.size}, {Name: "b", Size: tc.size}}
		s.BatchSize = tc.batch
		if got := DefaultWindow(&s); got != tc.want {
			t.Errorf("%+v: window %d", tc, got)
		}
	}
}
