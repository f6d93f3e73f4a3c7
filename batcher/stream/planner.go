package stream

import (
	"time"
)

// planner decides which tasks are issued, which chunks are purged, and what is done
// about a chunk that does not come. It is a pure value, with no clock, no lock and no
// broker: decide takes an event and returns the actions that follow from it. The driver
// executes them and feeds back what came of each as another event.
//
// A conversation begins with one of cycle, starved, unusable, exhausted, sealing and
// closing, and works off an agenda of phases. A phase returns one round of actions at a
// time, by what is known so far, and none when it is done. The planner learns from
// results alone, never from what it wanted: a conversation that breaks off
// (failed) loses nothing, and the next one continues where the facts are.
type planner struct {
	limits limits
	at     moment // of the last event

	next     int64            // first step whose tasks are not issued
	issued   int64            // step below which they are, for the peers to know
	purged   int64            // steps below are purged or in passed
	passed   map[int64]bool   // steps that peers wanted when this trainer was done with them
	present  map[chunkID]bool // chunks that need no task
	prepared bool             // what earlier trainers left is cleared
	peers    peers
	left     bool                  // a peer is gone, and what it left is not cleared yet
	backups  map[chunkID]time.Time // chunks whose task was given out twice, and when
	reissued map[chunkID]bool      // chunks whose orphaned task was replaced
	lacking  map[chunkID]bool      // chunks that a recording waits for (sealing)
	sealing  map[chunkID]bool      // chunks that were requested for the seal

	pending int // actions of the round whose results are to come
	agenda  []phase
	talk    talk
}

// limits are what the planner plans within.
type limits struct {
	trainer      string
	window       int64 // this trainer's, steps
	keep         int64 // steps below the cursor that stay; -1: all
	runWindow    int64 // the run's, steps
	steps        int64
	chunks       int           // of a step
	ackWait      time.Duration // how long a worker has for a sign of life
	chunkMessage int64         // largest message of a chunk, bytes
	deliveries   int           // of a task, at most
}

// moment is when an event happened: by the clock, and by this trainer's cursor.
type moment struct {
	now    time.Time
	cursor int64
}

// chunkID is a chunk's position in the run.
type chunkID struct {
	step  int64
	chunk int
}

// phase is a part of a conversation: the actions that it wants next, none when it is done.
type phase func(*planner) []action

// talk is what one conversation has learned; the next begins without it.
type talk struct {
	ended  map[string]bool // leases whose process is gone; nil: not checked
	tasks  map[int64]bool  // steps that have tasks and were not purged; nil: not listed
	chunks map[int64]bool  // the same of chunks

	leads     bool  // this trainer issues the tasks
	first     int64 // planner.next when the conversation began
	listed    int64 // step whose chunks are in there; -1: none
	requested int64 // last step whose chunks were requested; -1: none
	announced bool

	step     int64            // that the trainer waits for
	from, to int64            // steps that are still to be repaired
	there    map[chunkID]bool // chunks of step listed that are in the stream

	queue   queueState
	look    bool              // look after tasks that are in the queue
	sealing bool              // for a recording
	refused []chunkID         // chunks whose task is in the queue already
	others  []chunkID         // the same, of steps that the trainer does not wait for yet
	silent  bool              // a worker's heartbeats ended lately
	follow  []action          // that follow from the tasks that were looked up
	spent   []queuedTask      // tasks that nobody will be given any more
	blamed  map[uint64]bool   // tasks that workers sent back for a trouble of their own; nil: not read
	whys    map[uint64]string // what workers said of tasks that failed
	store   *storeRead
}

func newPlanner(l limits, from int64) *planner {
	return &planner{
		limits: l, next: from, purged: from, peers: peers{self: l.trainer},
		passed: map[int64]bool{}, backups: map[chunkID]time.Time{}, reissued: map[chunkID]bool{},
	}
}

// decide takes in an event and returns what follows from it, in order. It returns nothing
// before the last result of a round is in.
func (p *planner) decide(at moment, ev event) []action {
	p.at = at
	ev.apply(p)
	if p.pending > 0 {
		return nil
	}
	for len(p.agenda) > 0 {
		if round := p.agenda[0](p); len(round) > 0 {
			p.pending = len(round)
			return round
		}
		p.agenda = p.agenda[1:]
	}
	return nil
}

// begin starts a conversation.
func (p *planner) begin(phases ...phase) {
	p.agenda, p.pending = phases, 0
	p.talk = talk{first: p.next, listed: -1, requested: -1, there: map[chunkID]bool{}}
}

// once is a phase that has one round.
func once(round phase) phase {
	done := false
	return func(p *planner) []action {
		if done {
			return nil
		}
		done = true
		return round(p)
	}
}

// standing is what the planner knows of the trainers, for who must not wait for it.
type standing struct {
	limits   limits
	issued   int64
	peers    []peer // live
	recorded bool   // another trainer keeps, or kept, every step
}

func (p *planner) standing() standing {
	return standing{limits: p.limits, issued: p.issued, peers: p.peers.live, recorded: p.peers.recorded()}
}

// self is this trainer's position.
func (s *standing) self(cursor int64) position {
	return position{trainer: s.limits.trainer, cursor: cursor, issued: s.issued, window: s.limits.window, keep: s.limits.keep}
}

// wants reports whether this trainer, or a live peer, wants the step's chunks in the broker,
// or they are recorded.
func (s *standing) wants(step, cursor int64) bool {
	return s.recording() || s.self(cursor).requests(step) || wanted(step, s.peers)
}

// recording reports whether the run's chunks are to stay in the broker: this trainer keeps
// all, or another does, or did. Between the end of a recorder's lease and the seal, and
// until one that died is resumed, its chunks are still kept.
func (s *standing) recording() bool { return s.limits.keep < 0 || s.recorded }

func (p *planner) self() position {
	s := p.standing()
	return s.self(p.at.cursor)
}

func (p *planner) wants(step int64) bool {
	s := p.standing()
	return s.wants(step, p.at.cursor)
}

func (p *planner) recording() bool {
	s := p.standing()
	return s.recording()
}

// alone reports whether no other trainer is known to be live.
func (p *planner) alone() bool { return len(p.peers.live) == 0 }

// limit is the step below which this trainer may request chunks.
func (p *planner) limit() int64 {
	return credit(p.self(), p.peers.live, p.limits.runWindow, p.limits.steps)
}
