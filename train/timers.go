package train

import (
	"reflect"
	"strings"
	"time"

	"resslt/train/torch"
)

// phase is a part of a step: the index of its field in Phases.
type phase int

const (
	phaseWait phase = iota
	phaseCopy
	phaseTeacher
	phaseStudent
	phaseLoss
	phaseBackward
	phaseOptimizer
	phaseGraph
	phases
)

// Phases is what the parts of a step take, in milliseconds, means over steps. On a GPU
// copy and teacher overlap with the rest, so the sum may be more than the step.
type Phases struct {
	Wait      float64 `json:"data_wait"` // the loop waits for a batch
	Copy      float64 `json:"copy"`      // pixels into memory that the device reads
	Teacher   float64 `json:"teacher"`   // forward
	Student   float64 `json:"student"`   // forward
	Loss      float64 `json:"loss"`      // targets, similarities, losses, statistics
	Backward  float64 `json:"backward"`
	Optimizer float64 `json:"optimizer"` // and the teacher's average, and the queue
	// Graph is everything from teacher to backward in steps that replay a CUDA graph,
	// whose parts cannot be distinguished.
	Graph float64 `json:"graph,omitempty"`
}

// PhaseNames are the names of the phases in JSON, metrics and curves, in the order of the
// fields of Phases.
var PhaseNames = func() (names []string) {
	for f := range reflect.TypeFor[Phases]().Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		names = append(names, name)
	}
	return names
}()

// Values are the fields in the order of PhaseNames.
func (p Phases) Values() []float64 {
	v := reflect.ValueOf(p)
	out := make([]float64, v.NumField())
	for i := range out {
		out[i] = v.Field(i).Float()
	}
	return out
}

// durations are sums over steps.
type durations [phases]time.Duration

func (d *durations) add(o durations) {
	for i, v := range o {
		d[i] += v
	}
}

// mean is the time per step.
func (d *durations) mean(steps int64) (p Phases) {
	if steps == 0 {
		return p
	}
	v := reflect.ValueOf(&p).Elem()
	for i, sum := range d {
		v.Field(i).SetFloat(sum.Seconds() * 1000 / float64(steps))
	}
	return p
}

// timers adds up what phases take, by events, which are read when the device has passed
// them: timing makes nobody wait. It is used inside Do.
type timers struct {
	device torch.Device
	sum    durations
	open   []span         // not added yet, oldest first
	spare  []*torch.Event // for further spans
	off    bool           // inside a capture, where events have no time
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
