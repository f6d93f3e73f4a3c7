package stream

import (
	"time"

	"resslt/batcher/internal/leases"

	"github.com/nats-io/nats.go"
)

// event is something that the planner learns. apply enters it.
type event interface{ apply(p *planner) }

// Events that begin a conversation.
type (
	// cycle: it is time to look what is due.
	cycle struct{}
	// starved: the trainer waits for step, and does not get these of its chunks.
	starved struct {
		step    int64
		missing []int
	}
	// unusable: what came in the place of a chunk was unusable, and is deleted.
	unusable struct{ id chunkID }
	// exhausted: the task of this sequence has spent its deliveries, says the broker.
	exhausted struct{ seq uint64 }
	// sealing: the recording must become whole. first begins a seal; look has the tasks
	// that are in the queue already looked after.
	sealing struct{ first, look bool }
	// closing: the trainer needs nothing more.
	closing struct{}
)

// noteReceived is a lease note as a trainer published it; nil: it could not be read.
type noteReceived struct {
	trainer string
	note    *leases.Note
}

// failed: an action could not be executed; the conversation is over.
type failed struct{}

// Results of actions.
type (
	peersRead struct {
		notes map[string]*leases.Held // by trainer
	}
	processesChecked struct {
		ended map[string]bool // leases whose process has ended
	}
	tasksListed  struct{ steps map[int64]bool }
	tasksPurged  struct{ step int64 }
	chunksListed struct {
		chunks map[chunkID]bool
		within int64 // step that was listed; -1: all
	}
	chunksPurged struct{ step int64 }
	taskDropped  struct{ id chunkID }
	// taskPlaced: the chunk's task is in the queue; placed: it was not before.
	taskPlaced struct {
		id     chunkID
		placed bool
	}
	queueRead    struct{ queueState }
	taskLookedUp struct {
		id   chunkID
		task *queuedTask // nil: it is done
	}
	taskSpent   struct{ task queuedTask }
	workersRead struct {
		sentBack map[uint64]bool   // tasks that workers sent back for a trouble of their own
		failed   map[uint64]string // tasks that workers could not do, and why
		silent   bool              // a worker's heartbeats ended lately, and it has not left
	}
	backupPlaced struct {
		id     chunkID
		placed bool
	}
	storeRead struct{ bytes, maxBytes int64 } // maxBytes ≤ 0: no limit
	// done is the result of an action that has nothing to say.
	done struct{}
)

// queueState is the state of TASKS_<run> as its consumer has it.
type queueState struct {
	waiting   uint64 // tasks that no worker was given yet
	out       int    // tasks that were given out and are not acknowledged
	delivered uint64 // sequence of the last task that was given out
}

// queuedTask is a task in the queue.
type queuedTask struct {
	id      chunkID
	seq     uint64
	message *nats.Msg // as it was published; the planner does not look into it
}

func (cycle) apply(p *planner) {
	p.begin((*planner).meetPeers, (*planner).clear, (*planner).purge, (*planner).dropBackups,
		once((*planner).checkLead), (*planner).issue)
}

func (e starved) apply(p *planner) {
	p.begin(once(e.checkDamage), once(ensureStreams), (*planner).meetPeers, once(readQueueState), once(listAllChunks),
		once((*planner).beginRepair), (*planner).repair, (*planner).repairOthers, once((*planner).readFullStore), once((*planner).makeRoom))
	p.talk.step, p.talk.look = e.step, true
}

func (e unusable) apply(p *planner) {
	delete(p.present, e.id)
	if p.alone() && e.id.step >= p.next {
		p.begin() // its turn comes
		return
	}
	p.begin(once(e.list), once(e.request))
}

func (e exhausted) apply(p *planner) {
	p.begin(once(func(*planner) []action { return []action{lookUpSpentTask(e)} }), (*planner).replaceSpent)
}

func (e sealing) apply(p *planner) {
	if e.first {
		p.sealing = map[chunkID]bool{}
	}
	if e.look {
		p.begin(once(ensureStreams), once(readQueueState), once(listAllChunks), once((*planner).requestLacking), (*planner).lookAfter)
	} else {
		p.begin(once(listAllChunks), once((*planner).requestLacking))
	}
	p.talk.sealing, p.talk.look = true, e.look
}

func (closing) apply(p *planner) {
	p.peers.read = time.Time{} // others may just have left
	p.begin((*planner).meetPeers, (*planner).purge, (*planner).dropBackups)
}

func (e noteReceived) apply(p *planner) { p.peers.receive(e.trainer, e.note, p.at.now) }

func (failed) apply(p *planner) { p.begin() }

func (e peersRead) apply(p *planner) {
	p.pending--
	p.peers.update(e.notes, p.at.now)
}

func (e processesChecked) apply(p *planner) {
	p.pending--
	p.talk.ended = e.ended
}

func (e tasksListed) apply(p *planner) {
	p.pending--
	p.talk.tasks = e.steps
}

func (e tasksPurged) apply(p *planner) {
	p.pending--
	delete(p.talk.tasks, e.step)
}

func (e chunksListed) apply(p *planner) {
	p.pending--
	if e.within >= 0 {
		p.talk.there, p.talk.listed = e.chunks, e.within
		return
	}
	p.present, p.talk.chunks = e.chunks, map[int64]bool{}
	for id := range e.chunks {
		p.talk.chunks[id.step] = true
	}
}

func (e chunksPurged) apply(p *planner) {
	p.pending--
	delete(p.passed, e.step)
	delete(p.talk.chunks, e.step)
}

func (e taskDropped) apply(p *planner) {
	p.pending--
	delete(p.backups, e.id)
}

func (e taskPlaced) apply(p *planner) {
	p.pending--
	if p.talk.sealing {
		p.sealing[e.id] = true
	}
	switch {
	case e.placed || !p.talk.look:
	case p.talk.sealing || e.id.step == p.talk.step:
		p.talk.refused = append(p.talk.refused, e.id)
	default:
		p.talk.others = append(p.talk.others, e.id)
	}
}

func (e queueRead) apply(p *planner) {
	p.pending--
	p.talk.queue = e.queueState
}

func (e taskLookedUp) apply(p *planner) {
	p.pending--
	if e.task == nil || e.task.seq > p.talk.queue.delivered {
		return // done after all, or its turn comes
	}
	if p.talk.queue.out > 0 {
		p.backUp(*e.task)
	} else {
		p.adopt(*e.task)
	}
}

func (e taskSpent) apply(p *planner) {
	p.pending--
	p.talk.spent = append(p.talk.spent, e.task)
}

func (e workersRead) apply(p *planner) {
	p.pending--
	p.talk.blamed, p.talk.whys, p.talk.silent = e.sentBack, e.failed, e.silent
}

func (e backupPlaced) apply(p *planner) {
	p.pending--
	if e.placed {
		p.backups[e.id] = p.at.now
	}
}

func (e storeRead) apply(p *planner) {
	p.pending--
	p.talk.store = &e
}

func (done) apply(p *planner) { p.pending-- }
