package worker

import (
	"errors"
	"testing"
	"time"

	"resslt/schemas/errs"
)

// t0 is when the stories of a life begin.
var t0 = time.Unix(1_000_000, 0)

func at(d time.Duration) time.Time { return t0.Add(d) }

// What happens to a run, in words, and what the worker makes of it.
func TestLife(t *testing.T) {
	rubbish := errs.Because(errs.ErrMismatch, "rubbish")
	open := func(l *life) { l.opened() }
	fails := func(d time.Duration) func(*life) { return func(l *life) { l.failed(at(d), rubbish) } }
	retried := func(open bool) func(*life) { return func(l *life) { l.retried(open) } }
	chunk := func(l *life) { l.succeeded() }
	noticed := func(d time.Duration) func(*life) { return func(l *life) { l.noticed(at(d)) } }
	sleeps, wakes, closes := (*life).slept, (*life).woken, (*life).closes
	for _, tc := range []struct {
		name   string
		trust  bool
		events []func(*life)
		phase  phase
		proven bool
		why    bool
		due    time.Duration // from when on a quarantine is over; 0 for none
	}{
		{"opened", false, []func(*life){open}, serving, false, false, 0},
		{"opened, alone", true, []func(*life){open}, serving, true, false, 0},
		{"made a chunk", false, []func(*life){open, chunk}, serving, true, false, 0},
		{"does not open", false, []func(*life){fails(0)}, quarantined, false, true, time.Second},
		{"fails", false, []func(*life){open, chunk, fails(0)}, quarantined, false, true, time.Second},
		{"fails twice at once", false, []func(*life){open, chunk, fails(0), fails(1)}, quarantined, false, true, time.Second},
		{"a chunk that was begun before", false, []func(*life){open, fails(0), chunk}, quarantined, false, true, time.Second},
		{"opened while in quarantine", false, []func(*life){fails(0), open}, quarantined, false, true, time.Second},
		{"fails again", false, []func(*life){open, fails(0), retried(true), fails(time.Second)}, quarantined, false, true, 3 * time.Second},
		{"tried again", false, []func(*life){open, chunk, fails(0), retried(true)}, serving, false, false, 0},
		{"tried again, alone", true, []func(*life){open, fails(0), retried(true)}, serving, true, false, 0},
		{"opened again", false, []func(*life){open, fails(0), retried(false)}, opening, false, false, 0},
		{"well again, then fails", false, []func(*life){open, fails(0), retried(true), chunk, fails(time.Minute)}, quarantined, false, true, time.Minute + time.Second},
		{"its trainer is back", false, []func(*life){open, fails(0), noticed(100)}, quarantined, false, true, 100},
		{"its trainer is back, it fails", false, []func(*life){open, fails(0), retried(true), fails(time.Second), noticed(time.Second), retried(true), fails(time.Second)}, quarantined, false, true, 2 * time.Second},
		{"noticed while served", false, []func(*life){open, chunk, noticed(1)}, serving, true, false, 0},
		{"falls asleep", false, []func(*life){open, chunk, sleeps}, asleep, false, false, 0},
		{"falls asleep in quarantine", false, []func(*life){open, fails(0), sleeps}, asleep, false, false, 0},
		{"fails in its sleep", false, []func(*life){open, sleeps, fails(0)}, asleep, false, false, 0},
		{"opened in its sleep", false, []func(*life){sleeps, open}, asleep, false, false, 0},
		{"woken", false, []func(*life){open, sleeps, wakes}, opening, false, false, 0},
		{"noticed in its sleep", false, []func(*life){open, sleeps, noticed(1)}, opening, false, false, 0},
		{"woken while served", false, []func(*life){open, wakes}, serving, false, false, 0},
		{"closed", false, []func(*life){open, closes, fails(0), sleeps, wakes, noticed(1), retried(true), open}, closed, false, false, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := life{phase: opening, trusted: tc.trust}
			for _, e := range tc.events {
				e(&l)
			}
			if l.phase != tc.phase || l.phase == serving && l.proven != tc.proven || (l.why != nil) != tc.why {
				t.Errorf("%s, proven %v, %v; want %s, %v, a reason %v", l.phase, l.proven, l.why, tc.phase, tc.proven, tc.why)
			}
			if tc.due > 0 && (l.due(at(tc.due-1)) || !l.due(at(tc.due))) {
				t.Errorf("the quarantine is over at %v, want %v", l.until.Sub(t0), tc.due)
			}
			if tc.due == 0 && l.due(at(time.Hour)) {
				t.Error("a run that is in no quarantine is to be tried again")
			}
		})
	}
}

// Rests double, up to five minutes; for a store that is away up to half a minute.
func TestRests(t *testing.T) {
	for _, tc := range []struct {
		why  error
		want []time.Duration
	}{
		{errs.ErrMismatch, []time.Duration{1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300}},
		{errs.ErrUnavailable, []time.Duration{1, 2, 4, 8, 16, 30, 30}},
		{errors.New("the disk is gone"), []time.Duration{1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300}},
	} {
		l, now := life{phase: serving}, t0
		for i, want := range tc.want {
			did, first := l.failed(now, tc.why)
			if got := l.until.Sub(now); !did || first != (i == 0) || got != want*time.Second {
				t.Errorf("%v: rest %d is %v (%v, %v), want %v", tc.why, i, got, did, first, want*time.Second)
			}
			now = l.until
			l.retried(true)
		}
	}
}

// A run has one chunk in work until it has proved itself, and its share while its store hangs.
func TestPlaces(t *testing.T) {
	for _, tc := range []struct {
		name                string
		phase               phase
		proven              bool
		slots, aside, stuck int
		takes, proves       bool // with a share of 2 of 4 slots
	}{
		{"new", serving, false, 0, 0, 0, false, true},
		{"proving", serving, false, 0, 1, 0, false, false},
		{"proven", serving, true, 0, 0, 0, true, false},
		{"alone at work", serving, true, 4, 0, 0, true, false},
		{"one is slow", serving, true, 0, 1, 0, true, false},
		{"one is slow, within its share", serving, true, 1, 1, 0, false, false},
		{"as many are slow as its share", serving, true, 0, 2, 0, false, false},
		{"some hang for good", serving, true, 1, 0, 3, true, false},
		{"as many hang as there are slots", serving, true, 0, 0, 4, false, false},
		{"new, one hangs for good", serving, false, 0, 0, 1, false, true},
		{"new, as many hang", serving, false, 0, 0, 4, false, false},
		{"in quarantine", quarantined, false, 0, 0, 0, false, false},
		{"asleep", asleep, false, 0, 0, 0, false, false},
		{"closed", closed, true, 0, 0, 0, false, false},
	} {
		l := life{phase: tc.phase, proven: tc.proven, slots: tc.slots, aside: tc.aside, stuck: tc.stuck}
		if takes, proves := l.takes(2, 4), l.proves(4); takes != tc.takes || proves != tc.proves {
			t.Errorf("%s: takes %v, proves %v, want %v, %v", tc.name, takes, proves, tc.takes, tc.proves)
		}
	}
	var l life
	l.moves(nowhere, inSlot)
	l.moves(nowhere, inSlot)
	l.moves(inSlot, setAside)
	l.moves(setAside, givenUp)
	if l.slots != 1 || l.aside != 0 || l.stuck != 1 {
		t.Errorf("%d in slots, %d aside, %d stuck", l.slots, l.aside, l.stuck)
	}
	l.moves(inSlot, nowhere)
	l.moves(givenUp, nowhere)
	if l.slots != 0 || l.aside != 0 || l.stuck != 0 {
		t.Errorf("%d in slots, %d aside, %d stuck at the end", l.slots, l.aside, l.stuck)
	}
}
