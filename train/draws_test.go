package train

import (
	"slices"
	"testing"

	"resslt/train/nn/nntest"
	"resslt/train/objective"
)

// TestDrawsOfTheRamp: what an objective wants before its ramp's end is not drawn behind it, and is last
// of what it declares.
func TestDrawsOfTheRamp(t *testing.T) {
	nntest.Torch(t)
	var found int
	for _, name := range objective.Names() {
		c := small
		c.Objective = name
		o, err := objective.New(name, c.options())
		if err != nil {
			t.Fatal(err)
		}
		declared := o.Parts().Draws
		i := slices.IndexFunc(declared, func(d objective.Draw) bool { return d.Ramp })
		if i < 0 {
			continue
		}
		found++
		l := newSmall(t, c)
		defer l.Free()
		nntest.Do(t, func() {
			before, behind := l.draws(Hyper{Alpha: 0.9}, 0, smallBatch), l.draws(Hyper{Alpha: 1}, 0, smallBatch)
			if d := declared[i].Name; i+1 != len(declared) || before[d] == nil || behind[d] != nil {
				t.Errorf("%s: of %v, %q is drawn before the ramp's end %v and behind it %v", name, declared, d, before[d] != nil, behind[d] != nil)
			}
		})
	}
	if found == 0 {
		t.Error("no objective has a draw of its ramp")
	}
}

// TestDraws: a row's numbers are within their bounds, and depend on seed, step and the row's
// place in the batch, and on nothing else.
func TestDraws(t *testing.T) {
	nntest.Torch(t)
	of := func(seed uint64, step int64, accumulate int) (out map[string][]float64) {
		c := small
		c.Objective, c.Seed, c.Accumulate = "mochi", seed, accumulate
		l := newSmall(t, c)
		defer l.Free()
		out = map[string][]float64{}
		nntest.Do(t, func() {
			for micro := range accumulate {
				for name, x := range l.draws(Hyper{Step: step}, micro, smallBatch/accumulate) {
					out[name] = append(out[name], x.To(c.Device, c.dtype(), false).Float64s()...)
				}
			}
		})
		return out
	}
	whole, again, halves, later, other := of(1, 7, 1), of(1, 7, 1), of(1, 7, 2), of(1, 8, 1), of(2, 7, 1)
	o, err := objective.New("mochi", small.options())
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range o.Parts().Draws {
		x := whole[d.Name]
		if len(x) != smallBatch*d.Columns {
			t.Errorf("%s has %d numbers, want %d×%d", d.Name, len(x), smallBatch, d.Columns)
		}
		below := 1.0
		if d.Below > 0 {
			below = float64(d.Below)
		}
		if slices.Min(x) < 0 || slices.Max(x) >= below || slices.Max(x) < below/2 {
			t.Errorf("%s goes from %g to %g, want 0 to below %g", d.Name, slices.Min(x), slices.Max(x), below)
		}
		if !slices.Equal(x, again[d.Name]) || !slices.Equal(x, halves[d.Name]) {
			t.Errorf("%s is %v, again %v, of two micro-batches %v", d.Name, x, again[d.Name], halves[d.Name])
		}
		if slices.Equal(x, later[d.Name]) || slices.Equal(x, other[d.Name]) {
			t.Errorf("%s is the same in another step, or by another seed", d.Name)
		}
	}
}
