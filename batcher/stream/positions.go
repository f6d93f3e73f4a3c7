package stream

import (
	"slices"

	"resslt/batcher/internal/leases"
)

// position is where a trainer is among a run's steps, and what it needs of them. What
// is known of another trainer's position may be old, but a cursor only moves forward.
type position struct {
	trainer string
	cursor  int64 // next step that it needs
	issued  int64 // tasks of the steps from cursor to here were published by it, or it saw that they were
	window  int64 // steps from cursor on that it may request
	keep    int64 // steps below cursor that it wants kept; -1: every step there is
	reads   bool  // it issues no tasks
}

// peer is a live other trainer of the run.
type peer struct {
	position
	lease string // ID of its lease
	// aside: it joined, or came back, further behind than a window, and has not caught
	// up since. It proceeds by itself.
	aside bool
}

// requests reports whether step is in what the trainer keeps or may request.
func (p position) requests(step int64) bool { return p.wants(step, p.cursor+p.window) }

func (p position) wants(step, below int64) bool {
	return p.keep < 0 || step >= p.cursor-p.keep && step < below
}

// wanted reports whether peers may want the step. Those that keep pace with this trainer
// want whatever is not behind them; one aside wants what is in its window, and a window
// more is allowed for news that is late.
func wanted(step int64, peers []peer) bool {
	return slices.ContainsFunc(peers, func(p peer) bool {
		if p.aside {
			return p.wants(step, p.cursor+2*p.window)
		}
		return p.wants(step, step+1)
	})
}

// credit is the step below which the trainer at self may request chunks.
//
// The slowest of those that keep pace holds the credits, so that each of their batches
// is made once. A trainer aside delays nobody until it has caught up. Groups that are
// more than a window apart share the window, for the byte limit of the stream is sized
// for one.
func credit(self position, peers []peer, window, steps int64) int64 {
	floor, cursors := self.cursor, []int64{self.cursor}
	for _, o := range peers {
		if o.cursor >= steps { // it is at the end, and requests nothing more
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

// leads reports whether the trainer at self issues the tasks: of those that keep pace, and issue
// any, the slowest does, so that no two request one chunk, one after another.
func leads(self position, peers []peer) bool {
	return !slices.ContainsFunc(peers, func(o peer) bool {
		return !o.aside && !o.reads && (o.cursor < self.cursor || o.cursor == self.cursor && o.trainer < self.trainer)
	})
}

// isIssued reports whether a peer has issued the step's tasks, and still wants them.
func isIssued(step int64, peers []peer) bool {
	return slices.ContainsFunc(peers, func(o peer) bool { return o.cursor <= step && step < o.issued })
}

// positionOf is where a note says that its trainer is.
func positionOf(n leases.Note) position {
	return position{trainer: n.Trainer, cursor: n.Cursor, issued: n.Issued, window: n.Window, keep: n.Keep, reads: n.Reads}
}
