package torch

import (
	"math"
	"time"
)

var (
	fnNewEvent     = op{name: "resslt::new_event", args: "device,timed"}
	fnFreeEvent    = op{name: "resslt::free_event", args: "event"}
	fnEventRecord  = op{name: "resslt::event_record", args: "device,event"}
	fnEventWait    = op{name: "resslt::event_wait", args: "device,event"}
	fnEventQuery   = op{name: "resslt::event_query", args: "event"}
	fnEventElapsed = op{name: "resslt::event_elapsed", args: "start,end"}
)

// Event marks a point in a stream's work: another stream or the host can wait for it,
// and the time between two events can be measured. On the CPU it is the moment of
// Record on the monotonic clock. It is used inside Do and lives until Free.
type Event struct {
	device Device
	h      uint64
	at     time.Time // on the CPU
}

// NewEvent makes an event for the device; a timed one costs the GPU slightly more.
// On a GPU it needs libtorch 2.4 or newer.
func NewEvent(device Device, timed bool) *Event {
	e := &Event{device: device}
	if device.Type == DeviceCUDA {
		var b [4]uint64
		e.h = fnNewEvent.word(putBool(putDevice(b[:0], device), timed))
	}
	return e
}

// Record puts the event after the current stream's work so far. It may be recorded
// again.
func (e *Event) Record() {
	if e.device.Type != DeviceCUDA {
		e.at = time.Now()
		return
	}
	var b [4]uint64
	fnEventRecord.none(putInt(putDevice(b[:0], e.device), int64(e.h)))
}

// Wait makes the current stream's further work wait for the event. The host does
// not wait.
func (e *Event) Wait() {
	if e.device.Type == DeviceCUDA {
		var b [4]uint64
		fnEventWait.none(putInt(putDevice(b[:0], e.device), int64(e.h)))
	}
}

// Done reports whether the device has passed the event. It does not wait.
func (e *Event) Done() bool {
	if e.device.Type != DeviceCUDA {
		return true
	}
	var b [2]uint64
	return fnEventQuery.word(putInt(b[:0], int64(e.h))) != 0
}

// Since is the time from start to e, two timed events that are both Done.
func (e *Event) Since(start *Event) time.Duration {
	if e.device.Type != DeviceCUDA {
		return e.at.Sub(start.at)
	}
	var b [4]uint64
	ms := math.Float64frombits(fnEventElapsed.word(putInt(putInt(b[:0], int64(start.h)), int64(e.h))))
	return time.Duration(ms * float64(time.Millisecond))
}

// Free frees the event; a later use is an error. Freeing twice does nothing.
func (e *Event) Free() {
	if e == nil || e.h <= handleFreed {
		return
	}
	h := e.h
	e.h = handleFreed
	if deviceLost.Load() {
		return
	}
	var b [2]uint64
	fnFreeEvent.none(putInt(b[:0], int64(h)))
}
