package train

import "time"

// pace is how fast a session trains.
type pace struct {
	before float64   // seconds of training in earlier sessions
	total  meter     // of this session
	window meter     // since the last logged step
	phases durations // of this session, up to the last logged step
}

// spend takes in time that the loop was busy with steps, and that it waited for a batch.
func (p *pace) spend(busy, wait time.Duration) {
	p.total.spend(busy, wait)
	p.window.spend(busy, wait)
}

// made counts a step whose result is known. Between two of them the device has made one,
// however many it was given ahead.
func (p *pace) made() {
	p.total.steps++
	p.window.steps++
}

// takePhases moves the timers' sums since the last logged step to the session's, and gives
// their means. It runs inside torch.Do.
func (p *pace) takePhases(t *timers) Phases {
	sum := t.take()
	p.phases.add(sum)
	return sum.mean(p.window.steps)
}

// seconds are those of training, over all sessions.
func (p *pace) seconds() float64 { return p.before + (p.total.busy + p.total.wait).Seconds() }

// meter adds up the host's time over steps: waiting for batches, and the rest.
type meter struct {
	steps      int64
	busy, wait time.Duration
}

func (m *meter) spend(busy, wait time.Duration) { m.busy += busy; m.wait += wait }

// perStep is the mean time of a step; there has been one.
func (m *meter) perStep() time.Duration { return (m.busy + m.wait) / time.Duration(m.steps) }

// rate is how many samples were trained a second, in batches of that size.
func (m *meter) rate(batch int) float64 {
	if s := (m.busy + m.wait).Seconds(); s > 0 {
		return float64(m.steps) * float64(batch) / s
	}
	return 0
}

// waitFraction is the part of the time that the loop waited for batches.
func (m *meter) waitFraction() float64 {
	if t := m.busy + m.wait; t > 0 {
		return float64(m.wait) / float64(t)
	}
	return 0
}
