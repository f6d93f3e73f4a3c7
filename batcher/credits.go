package batcher

import "slices"

// place is what a trainer needs of a run's steps, as others see it.
type place struct {
	cursor int64 // next step that it needs
	window int64 // steps from cursor on that it may ask for
	keep   int64 // steps below cursor that it wants kept; -1: every step there is
}

// wants says whether step is in what the trainer keeps or may ask for.
func (p place) wants(step int64) bool {
	return p.keep < 0 || step >= p.cursor-p.keep && step < p.cursor+p.window
}

// wanted says whether anybody wants the step.
func wanted(step int64, places []place) bool {
	return slices.ContainsFunc(places, func(p place) bool { return p.wants(step) })
}

// credit is the step below which the trainer at self may ask for tasks.
//
// Trainers that are no more than a window apart go together: the last of them holds
// the credits, so that each of their batches is made once. Who is further behind, say
// because it came back from a checkpoint, goes by itself and holds nobody up until
// it has caught up. Groups share the window, for the byte limit of the stream is
// sized by one.
func credit(self place, others []place, window, steps int64) int64 {
	cursors := []int64{self.cursor}
	for _, o := range others {
		if o.cursor < steps { // one that is at the end asks for nothing more
			cursors = append(cursors, o.cursor)
		}
	}
	slices.Sort(cursors)
	groups, floor := int64(0), int64(0) // floor: the last of the group that self is in
	for i, c := range cursors {
		if i == 0 || c-cursors[i-1] > window {
			groups++
			if c <= self.cursor {
				floor = c
			}
		}
	}
	return min(floor+min(self.window, max(1, window/groups)), steps)
}
