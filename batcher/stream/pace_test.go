package stream

import (
	"testing"
	"time"
)

// A trainer's rate is of the last minute, and of the steps that it did itself.
func TestPace(t *testing.T) {
	for _, tc := range []struct {
		name    string
		from    int64
		seconds int
		speed   func(second int) int64 // steps in that second
		want    float64
	}{
		{"just opened", 0, 0, func(int) int64 { return 7 }, 0},
		{"steady", 0, 10, func(int) int64 { return 3 }, 3},
		{"resumed at step 1000", 1000, 10, func(int) int64 { return 3 }, 3},
		{"faster since", 0, 200, func(s int) int64 {
			if s < 100 {
				return 1
			}
			return 5
		}, 5},
		{"stands still", 0, 200, func(s int) int64 {
			if s < 100 {
				return 5
			}
			return 0
		}, 0},
		{"half of the minute", 0, 60, func(s int) int64 {
			if s < 30 {
				return 0
			}
			return 4
		}, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var p pace
			now, cursor := time.Unix(1e9, 0), tc.from
			p.mark(now, cursor)
			for s := range tc.seconds {
				now, cursor = now.Add(time.Second), cursor+tc.speed(s)
				p.mark(now, cursor)
			}
			if got := p.rate(now, cursor); got != tc.want {
				t.Errorf("%v steps a second, want %v", got, tc.want)
			}
			if len(p.marks) > 62 {
				t.Errorf("%d marks are kept", len(p.marks))
			}
		})
	}
}
