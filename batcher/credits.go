package batcher

import "slices"

// place is what a trainer needs of a run's steps, as others know it. Word of it may
// be late, but a cursor only moves forward.
type place struct {
	trainer string
	cursor  int64 // next step that it needs
	asked   int64 // tasks of the steps from cursor to here were published by it, or it saw that they were
	window  int64 // steps from cursor on that it may ask for
	keep    int64 // steps below cursor that it wants kept; -1: every step there is
	// aside: it came, or came back, further behind than a window, and has not caught
	// up since. It goes by itself.
	aside bool
}

// asks says whether step is in what the trainer keeps or may ask for.
func (p place) asks(step int64) bool { return p.wants(step, p.cursor+p.window) }

func (p place) wants(step, below int64) bool {
	return p.keep < 0 || step >= p.cursor-p.keep && step < below
}

// wanted says whether others may want the step. Those that go with this trainer want
// whatever is not behind them; one that goes by itself, what is in its window, with a
// window more for the word that is late.
func wanted(step int64, others []place) bool {
	return slices.ContainsFunc(others, func(p place) bool {
		if p.aside {
			return p.wants(step, p.cursor+2*p.window)
		}
		return p.wants(step, step+1)
	})
}

// credit is the step below which the trainer at self may ask for tasks.
//
// The last of those that go together holds the credits, so that each of their
// batches is made once. Who is aside holds nobody up until it has caught up. Groups
// that are more than a window apart share the window, for the byte limit of the
// stream is sized by one.
func credit(self place, others []place, window, steps int64) int64 {
	floor, cursors := self.cursor, []int64{self.cursor}
	for _, o := range others {
		if o.cursor >= steps { // it is at the end, and asks for nothing more
			continue
		}
		cursors = append(cursors, o.cursor)
		if !o.aside {
			floor = min(floor, o.cursor)
		}
	}
	slices.Sort(cursors)
	groups := int64(1)
	for i, c := range cursors[1:] {
		if c-cursors[i] > window {
			groups++
		}
	}
	return min(floor+min(self.window, max(1, window/groups)), steps)
}

// leads says whether it is for the trainer at self to ask for tasks: of those that
// go together, the last does, so that no two ask for one chunk, one after another.
func leads(self place, others []place) bool {
	return !slices.ContainsFunc(others, func(o place) bool {
		return !o.aside && (o.cursor < self.cursor || o.cursor == self.cursor && o.trainer < self.trainer)
	})
}

// isAsked says whether another has asked for the step, and wants it still.
func isAsked(step int64, others []place) bool {
	return slices.ContainsFunc(others, func(o place) bool { return o.cursor <= step && step < o.asked })
}
