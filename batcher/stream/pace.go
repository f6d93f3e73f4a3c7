package stream

import "time"

// pace measures how fast a trainer goes, by its own clock. What was done before it was
// opened, as by the session that it resumes, is no part of it.
type pace struct{ marks []paceMark } // oldest first

type paceMark struct {
	at     time.Time
	cursor int64
}

const (
	paceOver  = time.Minute // what the rate is over
	paceEvery = time.Second // between two marks
)

// mark notes where the trainer is. Of the marks older than paceOver the newest is kept.
func (p *pace) mark(now time.Time, cursor int64) {
	for len(p.marks) > 1 && now.Sub(p.marks[1].at) >= paceOver {
		p.marks = p.marks[1:]
	}
	if n := len(p.marks); n == 0 || now.Sub(p.marks[n-1].at) >= paceEvery {
		p.marks = append(p.marks, paceMark{now, cursor})
	}
}

// rate is the steps a second up to now and cursor; 0 where there is nothing to tell it by.
func (p *pace) rate(now time.Time, cursor int64) float64 {
	if len(p.marks) == 0 {
		return 0
	}
	passed := now.Sub(p.marks[0].at)
	if passed < paceEvery {
		return 0
	}
	return float64(cursor-p.marks[0].cursor) / passed.Seconds()
}
