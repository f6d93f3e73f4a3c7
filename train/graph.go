package train

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"

	"resslt/train/backbone"
	"resslt/train/nn"
	"resslt/train/objective"
	"resslt/train/torch"
)

// graphs replays what is the same in every step, from the teacher's forward pass to
// backward (Learner.gradients), as CUDA graphs: a GPU is given it in one launch instead of
// some thousand.
//
// A step is captured per form (which views, which of equation 7's terms, statistics or
// none), after some steps of that form have run as they are. What differs from step to
// step stays outside: views, samples and random numbers are copied into the capture's own, α into a
// tensor; the optimiser, the teacher's average and the queue follow the replay, with numbers of the
// host. The queue and the weights are written in place, so the capture's addresses stay
// theirs.
//
// A replay does nothing on the host. What a step counts there, batch norm's batches, is
// added up when the state is asked for (flush).
type graphs struct {
	off     string // why no step is captured, or none any more; "" where they are
	learner *Learner
	pool    *torch.GraphPool
	ran     map[string]int // steps of each form that have run as they are
	forms   map[string]*capture

	params   []*torch.Tensor // of the student and the objective
	counters []*torch.Tensor // () int64 on the CPU, of student and teacher
	pending  []int64         // what replays have to add to them
}

// warmSteps run before a capture, so that libraries have chosen their algorithms and
// allocated their workspaces.
const warmSteps = 3

// capture is a step that can be replayed, and where it reads and writes.
type capture struct {
	graph   *torch.Graph
	views   views                    // on the device
	alpha   *torch.Tensor            // (3): α, 1−α and the ramp's factor
	draws   map[string]*torch.Tensor // as of objective.Batch
	samples *torch.Tensor            // Samples of objective.Batch, or nil
	grads   []*torch.Tensor          // result: one a parameter
	kept    collected                // result: for the queue and the objective's state
	sum     tally                    // result: the loss and its description
	counts  []int64                  // what the step counts
}

// uncapturable says why a configuration's steps are not captured, "" where they can be:
// what a step draws or decides on the host would be the same in every replay.
func (c Config) uncapturable(n norms) string {
	switch {
	case !c.Graph:
		return "switched off"
	case c.Group != nil:
		return "several ranks exchange gradients"
	case c.Accumulate > 1:
		return "accumulate is above 1"
	case c.Recompute:
		return "activations are checkpointed"
	case n.shuffled:
		return "batch norm's groups are shuffled"
	case c.StochasticDepth > 0 && backbone.Drops(c.Backbone):
		return "stochastic depth draws in every step"
	}
	return ""
}

// newGraphs prepares to capture a learner's steps, where that can be.
func newGraphs(l *Learner) *graphs {
	g := &graphs{learner: l, off: l.config.uncapturable(l.parallel.norms)}
	if g.off != "" {
		return g
	}
	g.ran, g.forms = map[string]int{}, map[string]*capture{}
	g.params = nn.Tensors(append(trainable(l.student), l.state.params...))
	g.counters = buffers(l.student, isCounter)
	for _, t := range l.averages() {
		g.counters = append(g.counters, buffers(t, isCounter)...)
	}
	g.pending = make([]int64, len(g.counters))
	// A shim without CUDA's headers has no graphs.
	err := torch.Do(func() error { g.pool = torch.NewGraphPool(l.config.Device); return nil })
	if err != nil {
		g.off = err.Error()
	}
	return g
}

// form names what a capture can be replayed for.
func form(v views, b objective.Batch) string {
	phase := "mixed"
	switch {
	case b.Alpha.Value <= 0:
		phase = "infonce"
	case b.Alpha.Value >= 1:
		phase = "relation"
	}
	var name strings.Builder
	fmt.Fprint(&name, phase, b.Stats)
	for _, side := range [][]*torch.Tensor{v.teacher, v.student} {
		for _, x := range side {
			fmt.Fprint(&name, x.Shape())
		}
		name.WriteByte('|')
	}
	return name.String()
}

// gradients is Learner.gradients, replayed where the step's form has been captured. What is
// collected is the capture's: it holds until its next replay.
func (g *graphs) gradients(v views, b objective.Batch, d drawKey, sum *tally) (collected, error) {
	name := form(v, b)
	c := g.forms[name]
	if c == nil {
		if g.ran[name]++; g.ran[name] <= warmSteps {
			return g.learner.gradients(v, b, d, sum)
		}
		var err error
		if c, err = g.capture(v, b); err != nil {
			g.off = err.Error()
			return g.learner.gradients(v, b, d, sum)
		}
		g.forms[name] = c
	}
	c.load(v, b)
	g.learner.timers.span(phaseGraph, c.graph.Replay)
	for i, n := range c.counts {
		g.pending[i] += n
	}
	for i, p := range g.params {
		p.SetGrad(c.grads[i])
	}
	*sum = c.sum
	sum.device = c.sum.device.Alias().Keep()
	return c.kept, nil
}

// load copies a step's own views, α and random numbers into the capture.
func (c *capture) load(v views, b objective.Batch) {
	a := b.Alpha
	torch.NoGrad(func() {
		torch.ScopeDo(func() {
			for i, x := range v.teacher {
				torch.Copy_(c.views.teacher[i], x, true)
			}
			for i, x := range v.student {
				torch.Copy_(c.views.student[i], x, true)
			}
			for i, value := range []float64{a.Value, 1 - a.Value, a.Factor} {
				torch.FillScalar_(torch.Select(c.alpha, 0, int64(i)), value)
			}
			for name, x := range b.Draws {
				torch.Copy_(c.draws[name], x, true)
			}
			if c.samples != nil {
				torch.Copy_(c.samples, b.Samples, true)
			}
		})
	})
}

// capture captures a step of the form of these views. Nothing of the learner's state has
// moved when it returns, whatever it returns.
func (g *graphs) capture(v views, b objective.Batch) (*capture, error) {
	c := &capture{}
	like := func(views []*torch.Tensor) (out []*torch.Tensor) {
		for _, x := range views {
			out = append(out, torch.Empty(x.Shape(), torch.Uint8, g.learner.config.Device).Keep())
		}
		return out
	}
	torch.ScopeDo(func() {
		c.views = views{like(v.teacher), like(v.student)}
		c.alpha = torch.Zeros([]int64{3}, g.learner.config.dtype(), g.learner.config.Device).Keep()
		c.draws = map[string]*torch.Tensor{}
		for name, x := range b.Draws {
			c.draws[name] = torch.Clone(x).Keep()
		}
		if b.Samples != nil {
			c.samples = torch.Clone(b.Samples).Keep()
		}
	})
	b.Alpha.Tensor, b.Draws, b.Samples = c.alpha, c.draws, c.samples
	before := g.count()
	var err error
	c.graph, err = g.pool.Capture(func() { g.run(c, b) })
	c.counts = g.count()
	for i, n := range before {
		c.counts[i] -= n
	}
	g.setCounters(before)
	if err != nil {
		c.free()
		g.learner.zeroGrad()
		return nil, err
	}
	return c, nil
}

// run is the step that is captured. It leaves its results in c.
func (g *graphs) run(c *capture, b objective.Batch) {
	l := g.learner
	l.timers.off = true
	defer func() {
		l.timers.off = false
		if s := l.teacherStream; s != nil && s.open { // a capture ends only where its streams have joined
			quietly(s.join)
		}
	}()
	c.drop()
	torch.ScopeDo(func() {
		c.sum = tally{async: true}
		if b.Samples != nil {
			b.Samples = b.Samples.Alias() // goes into the results, which are freed by themselves
		}
		kept, err := l.gradients(c.views, b, drawKey{}, &c.sum) // nothing is drawn in it (uncapturable)
		if err != nil {
			return // of a loss that is not finite, which an asynchronous step does not see here
		}
		c.kept = kept.keep()
		for _, p := range g.params {
			grad := p.Grad()
			if grad != nil {
				grad.Keep()
			}
			c.grads = append(c.grads, grad)
		}
		l.zeroGrad()
	})
}

// drop frees the results.
func (c *capture) drop() {
	for _, t := range c.grads {
		t.Free()
	}
	c.kept.free()
	c.grads, c.kept = nil, collected{}
	c.sum.free()
}

func (c *capture) free() {
	c.graph.Free()
	c.drop()
	own := slices.Collect(maps.Values(c.draws))
	for _, t := range slices.Concat([]*torch.Tensor{c.alpha, c.samples}, c.views.teacher, c.views.student, own) {
		t.Free()
	}
}

// count reads the counters.
func (g *graphs) count() []int64 {
	out := make([]int64, len(g.counters))
	torch.ScopeDo(func() {
		for i, t := range g.counters {
			out[i] = t.Int64s()[0]
		}
	})
	return out
}

func (g *graphs) setCounters(values []int64) {
	for i, t := range g.counters {
		t.CopyFrom(binary.NativeEndian.AppendUint64(nil, uint64(values[i])))
	}
}

// flush adds to the counters what replays have counted.
func (g *graphs) flush() {
	if !slices.ContainsFunc(g.pending, func(n int64) bool { return n != 0 }) {
		return
	}
	values := g.count()
	for i, n := range g.pending {
		values[i] += n
		g.pending[i] = 0
	}
	g.setCounters(values)
}

// free releases the captures. A nil one, of a learner that could not be built, has none.
func (g *graphs) free() {
	if g == nil {
		return
	}
	for _, c := range g.forms {
		c.free()
	}
	g.forms = nil
}
