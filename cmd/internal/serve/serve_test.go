package serve

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"resslt/cmd/internal/serve/peer"
	"resslt/schemas"
)

// drink takes all batches from a step on, and checks them and the events between them.
func (p *drinker) drink(truth []*schemas.Batch, from int64, lo, hi int) {
	p.t.Helper()
	for step := from; step < p.Steps; step++ {
		e := p.next()
		p.want(e, truth, step, lo, hi)
		p.done(step, e)
		if (step+1)%p.StepsPerEpoch == 0 {
			if e := p.next(); e.Event != "epoch" || e.Epoch != step/p.StepsPerEpoch {
				p.t.Fatalf("%+v in place of the end of epoch %d", e, step/p.StepsPerEpoch)
			}
		}
	}
	if e := p.next(); e.Event != "end" {
		p.t.Fatalf("%+v in place of the end", e)
	}
}

// The batches of every way through are those that are made without any of it.
func TestBatchesAreTheRuns(t *testing.T) {
	base := options(t, nil)
	truth := calm(t, base)
	for _, c := range []struct {
		name   string
		listen string
		ring   bool
		change func(*Options)
	}{
		{"socket", "", false, nil},
		{"ring", "", true, nil},
		{"ring of two slots", "", true, func(o *Options) { o.MaxShared = 2*slotBytes(newLayout(views(t, o), 8)) + 1 }},
		{"no room for a ring", "", false, func(o *Options) { o.MaxShared = 1 << 10 }},
		{"tcp", "tcp:127.0.0.1:0", false, nil},
		{"no plans", "", true, func(o *Options) { o.NoPlans = true }},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := base
			o.Listen = options(t, nil).Listen
			if c.listen != "" {
				o.Listen = c.listen
			}
			if c.change != nil {
				c.change(&o)
			}
			r := start(t, o)
			p := connect(t, r, func(h *peer.Hello) { h.Shared = c.listen == "" && c.name != "socket" })
			if (p.Ring != nil) != c.ring {
				t.Fatalf("a ring: %v", p.Ring)
			}
			want := truth
			if o.NoPlans {
				want = withoutPlans(truth)
			}
			p.drink(want, 0, 0, 8)
			if err := p.Bye(); err != nil {
				t.Error(err)
			}
		})
	}
}

func views(t *testing.T, o *Options) []schemas.ViewSpec {
	t.Helper()
	p, err := MakePlan(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p.Spec.Views
}

// withoutPlans are the batches with every plan empty.
func withoutPlans(bs []*schemas.Batch) []*schemas.Batch {
	out := make([]*schemas.Batch, len(bs))
	for i, b := range bs {
		c := *b
		c.Plans = make([][][]byte, len(b.Views))
		for v := range c.Plans {
			c.Plans[v] = make([][]byte, b.Size)
		}
		out[i] = &c
	}
	return out
}

// What the welcome says is what a training loop needs to know.
func TestWelcome(t *testing.T) {
	o := options(t, nil)
	o.Epochs = 0
	p := connect(t, start(t, o), nil)
	w := p.Welcome
	if w.Epochs != 0 || w.StepsPerEpoch != 5 || w.Steps != schemas.MaxSteps/5*5 || w.BatchSize != 8 || w.Rows != [2]int{0, 8} || w.Samples != 43 {
		t.Errorf("%+v", w)
	}
	if !slices.Equal(w.Classes, []string{"cats", "dogs"}) || w.NumClasses != 2 || w.PolicyName != "small" || len(w.Views) != 2 || w.Views[0].Size != 16 {
		t.Errorf("%+v", w)
	}
	if !slices.Equal(w.Mean, []float64{0.485, 0.456, 0.406}) || !slices.Equal(w.Std, []float64{0.229, 0.224, 0.225}) || w.Digest != w.Spec.Digest() {
		t.Errorf("%+v", w)
	}
}

// The ranks of a client have the rows of a batch between them, and the clients of several names
// the whole of it.
func TestRanksAndNames(t *testing.T) {
	o := options(t, nil)
	truth := calm(t, o)
	r := start(t, o)
	ps := []*drinker{connect(t, r, func(h *peer.Hello) { h.Client, h.Shared = "other", true })}
	for rank := range 4 {
		p := connect(t, r, func(h *peer.Hello) { h.Rank, h.World, h.Shared = rank, 4, rank%2 == 0 })
		if p.Rows != [2]int{2 * rank, 2*rank + 2} {
			t.Fatalf("rank %d has rows %v", rank, p.Rows)
		}
		ps = append(ps, p)
	}
	drinkAll(ps, truth)
}

// What was not acknowledged is handed out again, what was is not, and any step can be named.
func TestPositions(t *testing.T) {
	o := options(t, nil)
	truth := calm(t, o)
	r := start(t, o)
	for _, c := range []struct{ from, begin, take, acked int64 }{
		{-1, 0, 3, 2}, // three are taken, two acknowledged
		{-1, 2, 1, 0},
		{-1, 2, 4, 4},
		{-1, 6, 0, 0},
		{8, 8, 2, 1},
		{1, 1, 1, 1},
		{-1, 2, 3, 0},
		{10, 10, 0, 0},
		{-1, 10, 0, 0},
	} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			p := connect(t, r, func(h *peer.Hello) { h.From, h.Shared, h.Credits = c.from, true, 4 })
			if p.refused != nil || p.From != c.begin {
				t.Fatalf("begins at %d, want %d: %+v", p.From, c.begin, p.refused)
			}
			for n, step := int64(0), c.begin; n < c.take; {
				e := p.next()
				if e.Event == "epoch" {
					continue
				}
				p.want(e, truth, step, 0, 8)
				if n < c.acked {
					p.done(step, e)
				}
				n, step = n+1, step+1
			}
			if err := p.Bye(); err != nil { // behind the acknowledgements
				t.Error(err)
			}
		})
	}
}

// A hundred clients drink from one server.
func TestHundredClients(t *testing.T) {
	o := options(t, nil)
	truth := calm(t, o)
	r := start(t, o)
	n := 100
	if testing.Short() {
		n = 10
	}
	var ps []*drinker
	for i := range n {
		ps = append(ps, connect(t, r, func(h *peer.Hello) { h.Client, h.Shared = fmt.Sprintf("c%d", i), i%2 == 0 }))
	}
	drinkAll(ps, truth)
}

// drinkAll has clients that are all connected drink at the same time.
func drinkAll(ps []*drinker, truth []*schemas.Batch) {
	var all sync.WaitGroup
	for _, p := range ps {
		all.Go(func() { p.drink(truth, 0, p.Rows[0], p.Rows[1]) })
	}
	all.Wait()
}
