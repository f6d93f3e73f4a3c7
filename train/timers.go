package train

import (
	"time"

	"resslt/train/torch"
)

// phase is a part of a step.
type phase int

const (
	phaseWait      phase = iota // the loop waits for a batch
	phaseCopy                   // pixels into memory that the device reads
	phaseTeacher                // the teacher's forward pass
	phaseStudent                // the student's
	phaseLoss                   // targets, similarities, losses, statistics
	phaseBackward               //
	phaseOptimizer              // and the teacher's average, and the queue
	phaseGraph                  // teacher to backward, replayed as one
	phases
)

// Phases is what the parts of a step take, in milliseconds, means over steps. On a
// GPU copy and teacher run beside the rest, so the sum may be more than the step.
type Phases struct {
	Wait      float64 `json:"data_wait"` // the loop waits for a batch
	Copy      float64 `json:"copy"`      // pixels into memory that the device reads
	Teacher   float64 `json:"teacher"`   // forward
	Student   float64 `json:"student"`   // forward
	Loss      float64 `json:"loss"`      // targets, similarities, losses, statistics
	Backward  float64 `json:"backward"`
	Optimizer float64 `json:"optimizer"` // and the teacher's average, and the queue
	// Graph is all from teacher to backward in steps that replay a CUDA graph, whose
	// parts cannot be told apart.
	Graph float64 `json:"graph,omitempty"`
}

// PhaseNames are the phases by the names that JSON, metrics and curves have, in
// order of Phases' fields.
var PhaseNames = []string{"data_wait", "copy", "teacher", "student", "loss", "backward", "optimizer", "graph"}

// Values are the fields in order of PhaseNames.
func (p Phases) Values() []float64 {
	return []float64{p.Wait, p.Copy, p.Teacher, p.Student, p.Loss, p.Backward, p.Optimizer, p.Graph}
}

// durations are sums over steps.
type durations [phases]time.Duration

func (d *durations) add(o durations) {
	for i, v := range o {
		d[i] += v
	}
}

// mean is the time a step.
func (d *durations) mean(steps int64) Phases {
	ms := func(p phase) float64 {
		if steps == 0 {
			return 0
		}
		return d[p].Seconds() * 1000 / float64(steps)
	}
	return Phases{
		Wait: ms(phaseWait), Copy: ms(phaseCopy), Teacher: ms(phaseTeacher), Student: ms(phaseStudent),
		Loss: ms(phaseLoss), Backward: ms(phaseBackward), Optimizer: ms(phaseOptimizer), Graph: ms(phaseGraph),
	}
}

// timers adds up what phases take, by events, which are read when the device has
// passed them: telling the time makes nobody wait. It is used inside Do.
type timers struct {
	device torch.Device
	sum    durations
	open   []span         // not added yet, oldest first
	spare  []*torch.Event // for further spans
	off    bool           // inside a capture, where no event tells a time
}

// span is a phase's stretch of one stream.
type span struct {
	phase      phase
	start, end *torch.Event
}

// span times fn's work, which goes to the current stream.
func (t *timers) span(p phase, fn func()) {
	switch {
	case t.off:
		fn()
	case t.device.Type == torch.DeviceCPU:
		began := time.Now()
		fn()
		t.sum[p] += time.Since(began)
	default:
		t.collect()
		s := span{phase: p, start: t.event(), end: t.event()}
		s.start.Record()
		fn()
		s.end.Record()
		t.open = append(t.open, s)
	}
}

func (t *timers) event() *torch.Event {
	if n := len(t.spare); n > 0 {
		e := t.spare[n-1]
		t.spare = t.spare[:n-1]
		return e
	}
	return torch.NewEvent(t.device, true)
}

// add takes a time that the host has measured.
func (t *timers) add(p phase, d time.Duration) { t.sum[p] += d }

// collect adds the spans that the device has passed.
func (t *timers) collect() {
	n := 0
	for _, s := range t.open {
		if !s.end.Done() {
			break
		}
		t.sum[s.phase] += s.end.Since(s.start)
		t.spare = append(t.spare, s.start, s.end)
		n++
	}
	t.open = t.open[n:]
}

// take gives the sums since the last take, of spans that the device has passed.
func (t *timers) take() durations {
	t.collect()
	sum := t.sum
	t.sum = durations{}
	return sum
}

// free releases the events. A nil one has none.
func (t *timers) free() {
	if t == nil {
		return
	}
	for _, s := range t.open {
		s.start.Free()
		s.end.Free()
	}
	for _, e := range t.spare {
		e.Free()
	}
	t.open, t.spare = nil, nil
}
