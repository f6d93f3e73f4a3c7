package stream

import "testing"

func TestCredit(t *testing.T) {
	const window, steps = 10, 1000
	at := func(cursors ...int64) []peer {
		var out []peer
		for _, c := range cursors {
			out = append(out, peer{position: position{cursor: c, window: window}})
		}
		return out
	}
	aside := func(cursors ...int64) []peer {
		out := at(cursors...)
		for i := range out {
			out[i].aside = true
		}
		return out
	}
	for _, tc := range []struct {
		name  string
		self  position
		peers []peer
		want  int64
	}{
		{"alone", position{cursor: 7, window: 10}, nil, 17},
		{"alone with less", position{cursor: 7, window: 3}, nil, 10},
		{"alone at the end", position{cursor: 995, window: 10}, nil, steps},
		{"the slowest", position{cursor: 7, window: 10}, at(9, 15), 17},
		{"ahead of the slowest", position{cursor: 15, window: 10}, at(7, 9), 17},
		{"as far ahead as can be", position{cursor: 17, window: 10}, at(7), 17},
		{"word of the other is late", position{cursor: 30, window: 10}, at(7), 12},
		{"one came back far behind", position{cursor: 100, window: 10}, aside(10), 105},
		{"which is me", position{cursor: 10, window: 10}, at(100), 15},
		{"two groups of two", position{cursor: 105, window: 10}, append(at(100), aside(10, 12)...), 105},
		{"many groups share what there is", position{cursor: 0, window: 2}, at(20, 40, 60), 2},
		{"at least a step each", position{cursor: 0, window: 10}, at(20, 40, 60, 80, 100, 120, 140, 160, 180, 200, 220), 1},
		{"one at the end holds nobody and shares nothing", position{cursor: 10, window: 10}, at(steps), 20},
	} {
		if got := credit(tc.self, tc.peers, window, steps); got != tc.want {
			t.Errorf("%s: may ask below %d, want %d", tc.name, got, tc.want)
		}
	}
}

func TestWanted(t *testing.T) {
	self := position{cursor: 30, window: 4, keep: 2}
	for step, want := range map[int64]bool{27: false, 28: true, 33: true, 34: false} {
		if got := self.requests(step); got != want {
			t.Errorf("step %d: %v", step, got)
		}
	}
	aside := []peer{{position: position{cursor: 10, window: 4}, aside: true}}
	for step, want := range map[int64]bool{9: false, 10: true, 17: true, 18: false} {
		if got := wanted(step, aside); got != want {
			t.Errorf("step %d by one aside: %v", step, got)
		}
	}
	level := []peer{{position: position{cursor: 10, window: 4, keep: 1}}}
	for step, want := range map[int64]bool{8: false, 9: true, 100: true} {
		if got := wanted(step, level); got != want {
			t.Errorf("step %d by a peer that keeps pace: %v", step, got)
		}
	}
	for _, step := range []int64{0, 100} {
		if !wanted(step, []peer{{position: position{cursor: 10, window: 4, keep: -1}}}) {
			t.Errorf("a trainer that keeps all does not want step %d", step)
		}
	}
	if wanted(3, nil) {
		t.Error("nobody wants it")
	}
}

func TestLeads(t *testing.T) {
	b := position{trainer: "b", cursor: 10, issued: 14}
	for name, tc := range map[string]struct {
		other peer
		want  bool
	}{
		"ahead":              {peer{position: position{trainer: "a", cursor: 11}}, true},
		"behind":             {peer{position: position{trainer: "c", cursor: 9}}, false},
		"aside":              {peer{position: position{trainer: "a", cursor: 1}, aside: true}, true},
		"level, first name":  {peer{position: position{trainer: "a", cursor: 10}}, false},
		"behind, a reader":   {peer{position: position{trainer: "c", cursor: 9, reads: true}}, true},
		"level, second name": {peer{position: position{trainer: "c", cursor: 10}}, true},
	} {
		if got := leads(b, []peer{tc.other}); got != tc.want {
			t.Errorf("with one %s: %v", name, got)
		}
	}
	if !leads(b, nil) {
		t.Error("alone, it does not")
	}
	for step, want := range map[int64]bool{9: false, 10: true, 13: true, 14: false} {
		if got := isIssued(step, []peer{{position: b}}); got != want {
			t.Errorf("step %d is issued: %v", step, got)
		}
	}
}
