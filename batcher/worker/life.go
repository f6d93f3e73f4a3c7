package worker

import (
	"errors"
	"time"

	"resslt/schemas/errs"
)

// phase is what a run is to a worker at present.
type phase string

const (
	opening     phase = "opening"     // the worker reads its spec and opens its data
	serving     phase = "serving"     // its tasks are taken
	quarantined phase = "quarantined" // it failed, and is left alone for a while
	asleep      phase = "asleep"      // nobody trains it: no task is taken, its data is closed
	closed      phase = "closed"      // the broker has it no more
)

// Rests of a quarantine: each is twice the one before. What may pass at any moment, a store
// that is away, is tried again sooner than what somebody must fix.
const (
	firstRest = time.Second
	storeRest = 30 * time.Second
	longRest  = 5 * time.Minute
)

// life is the state of one run at a worker. It reads no clock and does no I/O: what
// happens comes in by its methods, and the caller holds the lock.
//
//	asleep ── woken ──► opening ── opened ──► serving ── failed ──► quarantined
//	  ▲                    ▲                     ▲                    │      │
//	  └── slept, from all ─┴──── retried, closed ┼─── retried, open ──┘      │
//	                                             └────── noticed: at once ───┘
//
// A run that is served has to prove itself first: it has one chunk in work, outside of the
// worker's slots, until that is published. So a run whose store hangs, whose stream is full or
// whose data is rubbish holds no slot, however often it is tried again.
type life struct {
	phase phase
	why   error         // of the quarantine; nil in all other phases
	since time.Time     // of the first failure in a row; zero where there is none
	until time.Time     // the end of the quarantine
	rest  time.Duration // the one that ends then

	trusted bool // needs no proof: it is the only run
	proven  bool // a chunk of it was published since it was opened, or quarantined

	slots int // of the worker that make its chunks
	aside int // chunks in work without a slot: of a run that is not proven, or slow at the store
	stuck int // chunks that were given up, but whose goroutine does not return
}

// woken: a trainer is there. It begins again.
func (l *life) woken() {
	if l.phase == asleep {
		l.phase = opening
	}
}

// opened: its data is there.
func (l *life) opened() {
	if l.phase == opening {
		l.phase, l.proven = serving, l.trusted
	}
}

// failed puts the run in quarantine, and reports whether it did, for another chunk may just have
// found the same; and whether this is the first failure in a row.
func (l *life) failed(now time.Time, why error) (did, first bool) {
	switch {
	case l.phase == asleep, l.phase == closed, l.phase == quarantined && now.Before(l.until):
		return false, false
	}
	first = l.since.IsZero()
	if first {
		l.since = now
	}
	l.rest = min(max(firstRest, 2*l.rest), longestRest(why))
	l.phase, l.why, l.until, l.proven = quarantined, why, now.Add(l.rest), false
	return true, first
}

func longestRest(why error) time.Duration {
	if errors.Is(why, errs.ErrUnavailable) {
		return storeRest
	}
	return longRest
}

// noticed: its trainer has opened it again, perhaps with what it lacked. What it failed for
// counts no more.
func (l *life) noticed(now time.Time) {
	l.woken()
	l.rest = 0
	if l.phase == quarantined {
		l.until = now
	}
}

// awake reports whether the worker has anything to do with the run, of which it sends heartbeats.
func (l *life) awake() bool {
	return l.phase == opening || l.phase == serving || l.phase == quarantined
}

// due reports whether the quarantine is over but for a proof.
func (l *life) due(now time.Time) bool { return l.phase == quarantined && !now.Before(l.until) }

// retried ends a quarantine that is due: by a proof where the data is open, or by opening it.
func (l *life) retried(open bool) {
	switch {
	case l.phase != quarantined:
	case open:
		l.phase, l.why, l.proven = serving, nil, l.trusted
	default:
		l.phase, l.why = opening, nil
	}
}

// succeeded: a chunk was published. That of a run in quarantine was begun before it.
func (l *life) succeeded() {
	if l.phase == serving {
		l.proven, l.rest, l.since = true, 0, time.Time{}
	}
}

// slept: nobody trains it.
func (l *life) slept() {
	if l.phase != closed {
		*l = life{phase: asleep, trusted: l.trusted, slots: l.slots, aside: l.aside, stuck: l.stuck}
	}
}

// closes: the run is gone.
func (l *life) closes() { l.phase, l.why = closed, nil }

// takes reports whether a slot may take a task of the run. With chunks that hang at its store
// it gets no more than its share of the slots, and it never has more of them than there are slots.
func (l *life) takes(share, most int) bool {
	if l.phase != serving || !l.proven || l.stuck+l.aside >= most {
		return false
	}
	return l.aside == 0 || l.slots+l.aside < share
}

// proves reports whether the run may take the task that is to prove it.
func (l *life) proves(most int) bool {
	return l.phase == serving && !l.proven && l.slots+l.aside == 0 && l.stuck < most
}

// place is where a chunk is in work.
type place int

const (
	inSlot place = iota
	setAside
	givenUp
	nowhere
)

// moves counts a chunk that goes from one place to another.
func (l *life) moves(from, to place) {
	for at, n := range map[place]*int{inSlot: &l.slots, setAside: &l.aside, givenUp: &l.stuck} {
		if at == from {
			*n--
		}
		if at == to {
			*n++
		}
	}
}
