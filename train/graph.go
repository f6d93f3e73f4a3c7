package train

import (
	"encoding/binary"
	"fmt"
	"strings"

	"resslt/train/nn"
	"resslt/train/torch"
)

// graphs replays what is the same in every step, from the teacher's forward to
// backward: a GPU is given it in one launch instead of some thousand.
//
// A step is captured per form (which views, which of equation 7's terms, statistics
// or none), after some steps of that form have run as they are. What differs from
// step to step lies outside: views are copied into the capture's own, α into a
// tensor; the optimiser, the teacher's average and the queue follow the replay,
// with numbers of the host. The queue and the weights are written in place, so the
// capture's addresses stay theirs.
//
// A replay does nothing on the host. What a step counts there, batch norm's
// batches, is added up when somebody asks.
type graphs struct {
	l     *Learner
	pool  *torch.GraphPool
	ran   map[string]int // steps of each form that have run as they are
	forms map[string]*capture

	params   []*torch.Tensor // of the student
	counters []*torch.Tensor // () int64 on the CPU, of student and teacher
	pending  []int64         // what replays have to add to them
}

// warmSteps run before a capture, so that libraries have chosen their algorithms and
// taken their workspaces.
const warmSteps = 3

// capture is a step that can be replayed, and where it reads and writes.
type capture struct {
	graph            *torch.Graph
	teacher, student []*torch.Tensor // (B,S,S,3) uint8 on the device
	mix              *torch.Tensor   // (2): α, 1−α
	grads, keys      []*torch.Tensor // results: one a parameter; for the queue
	sum              tally           // result: the loss and its description
	counts           []int64         // what the step counts
}

// unfit says why a configuration's steps are not captured, "" where they can be:
// what a step draws or decides on the host would be the same in every replay.
func (c Config) unfit(n norms) string {
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
	case c.StochasticDepth > 0 && strings.HasPrefix(c.Backbone, "efficientnet"):
		return "stochastic depth draws in every step"
	}
	return ""
}

// openGraphs makes ready to capture, where that can be.
func (l *Learner) openGraphs() {
	if l.ungraphed = l.config.unfit(l.norms); l.ungraphed != "" {
		return
	}
	g := &graphs{l: l, ran: map[string]int{}, forms: map[string]*capture{}, params: nn.Tensors(nn.Parameters(l.student))}
	for _, e := range []*Encoder{l.student, l.teacher} {
		if e == nil {
			continue
		}
		for _, b := range buffers(e) {
			if b.DType() == torch.Int64 {
				g.counters = append(g.counters, b)
			}
		}
	}
	g.pending = make([]int64, len(g.counters))
	// A shim without CUDA's headers has no graphs.
	err := torch.Do(func() error { g.pool = torch.NewGraphPool(l.config.Device); return nil })
	if err != nil {
		l.ungraphed = err.Error()
		return
	}
	l.graphs = g
}

// Ungraphed says why Launch does not replay CUDA graphs, "" where it does or will.
func (l *Learner) Ungraphed() string { return l.ungraphed }

// form is what a capture is good for.
func form(teacher, student []*torch.Tensor, h Hyper) string {
	phase := "mixed"
	switch {
	case h.Alpha <= 0:
		phase = "infonce"
	case h.Alpha >= 1:
		phase = "relation"
	}
	var b strings.Builder
	fmt.Fprint(&b, phase, h.Stats)
	for _, side := range [][]*torch.Tensor{teacher, student} {
		for _, x := range side {
			fmt.Fprint(&b, x.Shape())
		}
		b.WriteByte('|')
	}
	return b.String()
}

// backward is Learner.backward, replayed where the step's form has been captured.
// The keys are the capture's: they hold until its next replay.
func (g *graphs) backward(teacher, student []*torch.Tensor, h Hyper, sum *tally) ([]*torch.Tensor, error) {
	name := form(teacher, student, h)
	c := g.forms[name]
	if c == nil {
		if g.ran[name]++; g.ran[name] <= warmSteps {
			return g.l.backward(teacher, student, h, sum)
		}
		var err error
		if c, err = g.capture(teacher, student, h); err != nil {
			g.l.ungraphed = err.Error()
			return g.l.backward(teacher, student, h, sum)
		}
		g.forms[name] = c
	}
	g.load(c, teacher, student, h)
	g.l.timers.span(phaseGraph, c.graph.Replay)
	for i, n := range c.counts {
		g.pending[i] += n
	}
	for i, p := range g.params {
		p.SetGrad(c.grads[i])
	}
	*sum = c.sum
	sum.device = c.sum.device.Alias().Keep()
	return c.keys, nil
}

// load puts a step's own into the capture.
func (g *graphs) load(c *capture, teacher, student []*torch.Tensor, h Hyper) {
	torch.NoGrad(func() {
		torch.ScopeDo(func() {
			for i, x := range teacher {
				torch.Copy_(c.teacher[i], x, true)
			}
			for i, x := range student {
				torch.Copy_(c.student[i], x, true)
			}
			torch.FillScalar_(torch.Select(c.mix, 0, 0), h.Alpha)
			torch.FillScalar_(torch.Select(c.mix, 0, 1), 1-h.Alpha)
		})
	})
}

// capture records a step of the form of these views. Nothing of the learner's state
// has moved when it returns, whatever it returns.
func (g *graphs) capture(teacher, student []*torch.Tensor, h Hyper) (*capture, error) {
	c := &capture{}
	like := func(views []*torch.Tensor) (out []*torch.Tensor) {
		for _, x := range views {
			out = append(out, torch.Empty(x.Shape(), torch.Uint8, g.l.config.Device).Keep())
		}
		return out
	}
	torch.ScopeDo(func() {
		c.teacher, c.student = like(teacher), like(student)
		c.mix = torch.Zeros([]int64{2}, g.l.config.dtype(), g.l.config.Device).Keep()
	})
	h.mix = c.mix
	before := g.read()
	var err error
	c.graph, err = g.pool.Capture(func() { g.record(c, h) })
	c.counts = g.read()
	for i, n := range before {
		c.counts[i] -= n
	}
	g.write(before)
	if err != nil {
		c.free()
		g.l.opt.ZeroGrad()
		return nil, err
	}
	return c, nil
}

// record is the step that is captured. It leaves its results in c.
func (g *graphs) record(c *capture, h Hyper) {
	g.l.timers.off = true
	defer func() {
		g.l.timers.off = false
		if g.l.apart { // a capture ends only where its streams have met
			quietly(g.l.join)
		}
	}()
	c.drop()
	torch.ScopeDo(func() {
		c.sum = tally{late: true}
		keys, err := g.l.backward(c.teacher, c.student, h, &c.sum)
		if err != nil {
			return // Launch has checked the views, which is all that it says
		}
		for _, k := range keys {
			c.keys = append(c.keys, k.Keep())
		}
		for _, p := range g.params {
			grad := p.Grad()
			if grad != nil {
				grad.Keep()
			}
			c.grads = append(c.grads, grad)
		}
		g.l.opt.ZeroGrad()
	})
}

// drop frees the results.
func (c *capture) drop() {
	for _, list := range [][]*torch.Tensor{c.grads, c.keys} {
		for _, t := range list {
			t.Free()
		}
	}
	c.grads, c.keys = nil, nil
	c.sum.free()
}

func (c *capture) free() {
	c.graph.Free()
	c.drop()
	for _, t := range append(append([]*torch.Tensor{c.mix}, c.teacher...), c.student...) {
		t.Free()
	}
}

// read gives the counters.
func (g *graphs) read() []int64 {
	out := make([]int64, len(g.counters))
	torch.ScopeDo(func() {
		for i, t := range g.counters {
			out[i] = t.Int64s()[0]
		}
	})
	return out
}

func (g *graphs) write(values []int64) {
	for i, t := range g.counters {
		t.CopyFrom(binary.NativeEndian.AppendUint64(nil, uint64(values[i])))
	}
}

// settle adds to the counters what replays have counted.
func (g *graphs) settle() {
	if g == nil {
		return
	}
	moved := false
	for _, n := range g.pending {
		moved = moved || n != 0
	}
	if !moved {
		return
	}
	values := g.read()
	for i, n := range g.pending {
		values[i] += n
		g.pending[i] = 0
	}
	g.write(values)
}

// free releases the captures.
func (g *graphs) free() {
	if g == nil {
		return
	}
	for _, c := range g.forms {
		c.free()
	}
	g.forms = nil
}
