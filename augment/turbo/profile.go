//go:build cgo

package turbo

// #include "turbo.h"
import "C"

import (
	"runtime"
	"time"

	"resslt/augment"
)

// profile is what Go accounts for: C, which paints, has the rest.
type profile struct{ open, decode augment.Cost }

// StartProfile has the painter account for its time; see augment.Renderer.
func (p *painter) StartProfile() {
	p.profile = &profile{open: augment.Cost{Work: "open"}, decode: augment.Cost{Work: "decode"}}
	if p.c != nil {
		C.turbo_start_profile(p.c)
	}
}

// Profile is what was spent so far; see augment.Renderer.
func (p *painter) Profile() []augment.Cost {
	if p.profile == nil || p.c == nil {
		return nil
	}
	var c [C.TURBO_COSTS]C.turbo_cost
	C.turbo_costs(p.c, &c[0])
	out := []augment.Cost{p.profile.open, p.profile.decode}
	for i, work := range c {
		name := [...]string{C.TURBO_COST_FILTERS: "filters", C.TURBO_COST_ACROSS: "resize across", C.TURBO_COST_DOWN: "resize down", C.TURBO_COST_STEP: ""}[min(i, C.TURBO_COST_STEP)]
		if i >= C.TURBO_COST_STEP {
			name = augment.StepName(augment.StepKind(i - C.TURBO_COST_STEP))
		}
		if name != "" {
			out = append(out, augment.Cost{Work: name, Calls: int64(work.calls), CPU: time.Duration(work.ns)})
		}
	}
	return out
}

// timed returns what charges the thread's CPU time until it is called to c. The goroutine
// stays on its thread in between.
func timed(c *augment.Cost) func() {
	runtime.LockOSThread()
	began := C.turbo_thread_time()
	return func() {
		c.CPU += time.Duration(C.turbo_thread_time() - began)
		c.Calls++
		runtime.UnlockOSThread()
	}
}
