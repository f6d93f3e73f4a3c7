package stream

import (
	"cmp"
	"slices"
	"time"

	"resslt/batcher/internal/leases"
)

// peers is what a trainer knows of the others of its run. It receives their lease notes
// as they are published, and is given all of them now and then for what it missed. It is
// a pure value: times and facts come with the events.
type peers struct {
	self string
	seen map[string]sighting // by the trainer's name
	read time.Time           // when the notes were last read; zero: they must be
	// aside are the live peers at the last pass, by lease, and whether each was aside.
	aside map[string]bool
	live  []peer // at the last pass, by name; replaced, never changed
	// moved: a note said more than that its trainer lives. The driver sets it back.
	moved bool
}

// sighting is a note, and when it was renewed, by this machine's clock.
type sighting struct {
	leases.Held
	at time.Time
}

// rereadEvery is how long the notes that are received are enough.
const rereadEvery = 5 * time.Second

// receive takes in a note as it was published under a trainer's name; nil is one that
// could not be read. That it was published does not say that the broker took it, so only
// a renewal of a known lease counts at once.
func (ps *peers) receive(name string, n *leases.Note, now time.Time) {
	if name == ps.self {
		return
	}
	s, known := ps.seen[name]
	if n == nil || !known || n.ID != s.ID || n.Cursor < 0 || n.Window < 0 {
		ps.read, ps.moved = time.Time{}, true
		return
	}
	ps.moved = ps.moved || n.Left || n.Cursor > s.Cursor || n.Issued > s.Issued
	// Notes wait in line: one may be older than what was read meanwhile.
	renewed := *n
	renewed.Cursor, renewed.Issued = max(n.Cursor, s.Cursor), max(n.Issued, s.Issued)
	s.Note, s.Age, s.at = renewed, 0, now
	ps.seen[name] = s
}

// update takes in all notes as they were read.
func (ps *peers) update(notes map[string]*leases.Held, now time.Time) {
	next := map[string]sighting{}
	for name, h := range notes {
		if name == ps.self {
			continue
		}
		s := sighting{Held: *h, at: now.Add(-h.Age)}
		if old, ok := ps.seen[name]; ok && (old.Seq == h.Seq || old.at.After(s.at)) {
			// The same as before, or one that was renewed since.
			s.at = old.at
		}
		next[name] = s
	}
	ps.seen, ps.read = next, now
}

// isDue reports whether the notes must be read.
func (ps *peers) isDue(now time.Time) bool { return now.Sub(ps.read) >= rereadEvery }

// unexpired gives the leases that have neither been left nor run out, by name: live
// unless their processes have ended.
func (ps *peers) unexpired(now time.Time) []leases.Held {
	var out []leases.Held
	for _, s := range ps.seen {
		if !s.Left && s.Age < s.BoundedTerm() && now.Sub(s.at) < s.BoundedTerm() {
			out = append(out, s.Held)
		}
	}
	slices.SortFunc(out, func(a, b leases.Held) int {
		return cmp.Or(cmp.Compare(a.Trainer, b.Trainer), cmp.Compare(a.ID, b.ID))
	})
	return out
}

// findLive works out who is live, now that the notes are new and ended says whose
// processes are gone. It reports whether a peer that was live is gone. A peer that appears,
// or is aside already, is aside while it is more than a window behind cursor.
func (ps *peers) findLive(now time.Time, ended map[string]bool, cursor, window int64) (left bool) {
	aside, live := map[string]bool{}, []peer(nil)
	for _, h := range ps.unexpired(now) {
		if ended[h.ID] {
			continue
		}
		was, known := ps.aside[h.ID]
		p := peer{position: positionOf(h.Note), lease: h.ID}
		p.aside = (was || !known) && cursor-p.cursor > window
		aside[h.ID] = p.aside
		live = append(live, p)
	}
	for lease := range ps.aside {
		if _, ok := aside[lease]; !ok {
			left = true
		}
	}
	ps.aside, ps.live = aside, live
	return left
}

// recorded reports whether any other trainer of the run, live or not, keeps every step.
func (ps *peers) recorded() bool {
	for _, s := range ps.seen {
		if s.Keep < 0 {
			return true
		}
	}
	return false
}
