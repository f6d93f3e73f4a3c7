package stream

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"resslt/batcher/internal/leases"
)

// world is a model of a run: the broker's streams, workers and trainers, in which
// planners are brought events, their actions are executed, and every action is checked.
type world struct {
	t     *testing.T
	rng   *rand.Rand
	limit limits
	room  int // chunks that BATCH_ takes; 0: any number

	now       time.Time
	seq       uint64
	delivered uint64                // sequence of the last task that was given out
	tasks     map[chunkID][]*placed // by sequence
	chunks    map[chunkID]bool
	notes     map[string]*leases.Held
	trainers  []*trainer
	sentBack  map[uint64]bool
	log       []string
	done      []action
	failAfter int // actions until one fails; < 0: none does
}

// placed is a task in the model's queue.
type placed struct {
	seq   uint64
	state taskState
}

type taskState int

const (
	waiting  taskState = iota
	out                // with a worker
	orphaned           // with nobody
)

// trainer is one of the model's, with its planner.
type trainer struct {
	*planner
	name    string
	lease   string
	cursor  int64
	dead    bool
	held    map[chunkID]bool // chunks that it took in
	lastTry map[chunkID]time.Time
}

func newWorld(t *testing.T, seed uint64, steps, window int64) *world {
	return &world{
		t: t, rng: rand.New(rand.NewPCG(seed, 0)), now: time.Unix(1e9, 0), failAfter: -1,
		limit: limits{
			window: window, runWindow: window, steps: steps, chunks: 2,
			ackWait: 10 * time.Second, deliveries: 5, chunkMessage: 1,
		},
		tasks: map[chunkID][]*placed{}, chunks: map[chunkID]bool{}, notes: map[string]*leases.Held{},
	}
}

func (w *world) join(name string, from, keep int64) *trainer {
	l := w.limit
	l.trainer, l.keep = name, keep
	w.seq++
	tr := &trainer{
		planner: newPlanner(l, from), name: name, lease: fmt.Sprint(name, w.seq), cursor: from,
		held: map[chunkID]bool{}, lastTry: map[chunkID]time.Time{},
	}
	w.trainers = append(w.trainers, tr)
	w.renew(tr)
	return tr
}

func (w *world) renew(tr *trainer) {
	if tr.dead {
		return
	}
	w.seq++
	w.notes[tr.name] = &leases.Held{Seq: w.seq, Note: leases.Note{
		ID: tr.lease, Trainer: tr.name, Term: DefaultLeaseTerm,
		Cursor: tr.cursor, Issued: tr.planner.issued, Window: tr.limits.window, Keep: tr.limits.keep,
	}}
}

// wait lets time pass; notes age.
func (w *world) wait(d time.Duration) {
	w.now = w.now.Add(d)
	for _, n := range w.notes {
		n.Age += d
	}
}

func (w *world) fatalf(format string, a ...any) {
	w.t.Helper()
	for _, line := range w.log[max(0, len(w.log)-60):] {
		w.t.Log(line)
	}
	w.t.Fatalf(format, a...)
}

var errBroker = errors.New("the broker is away")

// tell brings a trainer's planner an event, and executes what follows.
func (w *world) tell(tr *trainer, ev event) error {
	w.log = append(w.log, fmt.Sprintf("%s at %d: %T%+v", tr.name, tr.cursor, ev, ev))
	round := tr.decide(moment{w.now, tr.cursor}, ev)
	for n := 0; len(round) > 0; n++ {
		if n > 1000 {
			w.fatalf("%s: a conversation without end", tr.name)
		}
		var next []action
		for i, a := range round {
			w.log = append(w.log, fmt.Sprintf("  %T%+v", a, a))
			if w.failAfter == 0 {
				w.failAfter = -1
				if left := tr.decide(moment{w.now, tr.cursor}, failed{}); len(left) > 0 {
					w.fatalf("%s goes on after a failure: %v", tr.name, left)
				}
				return errBroker
			}
			w.failAfter = max(-1, w.failAfter-1)
			w.check(tr, a)
			w.done = append(w.done, a)
			next = tr.decide(moment{w.now, tr.cursor}, w.do(tr, a))
			if i < len(round)-1 && len(next) > 0 {
				w.fatalf("%s has the next round before the end of this: %v", tr.name, next)
			}
		}
		round = next
	}
	return nil
}

// check holds every action to what the package's doc promises.
func (w *world) check(tr *trainer, a action) {
	switch a := a.(type) {
	case request:
		if a.id.step < tr.cursor || a.id.step >= min(tr.cursor+w.limit.window, w.limit.steps) && !tr.talk.sealing {
			w.fatalf("%s at %d requests %v, outside its window", tr.name, tr.cursor, a.id)
		}
		for _, o := range tr.peers.live {
			if !o.aside && o.cursor < w.limit.steps && a.id.step >= o.cursor+w.limit.window && !a.again {
				w.fatalf("%s requests %v, ahead of %+v by more than a window", tr.name, a.id, o)
			}
		}
	case purgeChunks:
		if tr.limits.keep < 0 {
			w.fatalf("%s keeps all, and purges step %d", tr.name, a.step)
		}
		for _, n := range w.notes {
			if _, known := tr.peers.seen[n.Trainer]; known && n.Keep < 0 {
				w.fatalf("%s purges step %d, which %s records", tr.name, a.step, n.Trainer)
			}
		}
		for _, p := range tr.peers.live {
			o := w.trainer(p.lease)
			switch {
			case tr.talk.store != nil: // to make room
				if p.cursor == a.step || a.step == tr.talk.step {
					w.fatalf("%s purges step %d to make room, for which a trainer waits", tr.name, a.step)
				}
			case p.aside:
				if a.step >= p.cursor-p.keep && a.step < p.cursor+p.window {
					w.fatalf("%s purges step %d, which %+v wants", tr.name, a.step, p)
				}
			case o != nil && !o.dead && a.step >= o.cursor-o.limits.keep:
				w.fatalf("%s purges step %d, which %s at %d wants", tr.name, a.step, o.name, o.cursor)
			}
		}
	case placeBackup:
		if at, ok := tr.lastTry[a.task.id]; ok && w.now.Sub(at) < w.limit.ackWait {
			w.fatalf("%s has %v given out again within an ack wait", tr.name, a.task.id)
		}
		tr.lastTry[a.task.id] = w.now
	}
}

func (w *world) trainer(lease string) *trainer {
	for _, tr := range w.trainers {
		if tr.lease == lease {
			return tr
		}
	}
	return nil
}

// do executes an action in the model.
func (w *world) do(tr *trainer, a action) event {
	switch a := a.(type) {
	case readPeers:
		notes := map[string]*leases.Held{}
		for name, n := range w.notes {
			copied := *n
			notes[name] = &copied
		}
		return peersRead{notes}
	case checkProcesses:
		return processesChecked{map[string]bool{}}
	case listTasks:
		steps := map[int64]bool{}
		for id := range w.tasks {
			steps[id.step] = true
		}
		return tasksListed{steps}
	case purgeTasks:
		maps.DeleteFunc(w.tasks, func(id chunkID, _ []*placed) bool { return id.step == a.step })
		return tasksPurged(a)
	case dropTask:
		delete(w.tasks, a.id)
		return taskDropped(a)
	case listChunks:
		there := map[chunkID]bool{}
		for id := range w.chunks {
			if a.step < 0 || id.step == a.step {
				there[id] = true
			}
		}
		return chunksListed{there, a.step}
	case listChunk:
		there := map[chunkID]bool{}
		if w.chunks[a.id] {
			there[a.id] = true
		}
		return chunksListed{there, a.id.step}
	case purgeChunks:
		maps.DeleteFunc(w.chunks, func(id chunkID, _ bool) bool { return id.step == a.step })
		return chunksPurged(a)
	case request:
		return taskPlaced{a.id, w.place(a.id, 0)}
	case announce:
		w.renew(tr)
		for _, o := range w.trainers {
			if o != tr && !o.dead {
				w.deliver(tr, o)
			}
		}
		return done{}
	case readQueue:
		var q queueState
		for _, ps := range w.tasks {
			for _, p := range ps {
				switch p.state {
				case waiting:
					q.waiting++
				case out:
					q.out++
				}
			}
		}
		q.delivered = w.delivered
		return queueRead{q}
	case lookUpTask:
		ps := w.tasks[a.id]
		if len(ps) == 0 {
			return taskLookedUp{a.id, nil}
		}
		return taskLookedUp{a.id, &queuedTask{id: a.id, seq: ps[len(ps)-1].seq}}
	case lookUpSpentTask:
		for id, ps := range w.tasks {
			for _, p := range ps {
				if p.seq == a.seq {
					return taskSpent{queuedTask{id: id, seq: a.seq}}
				}
			}
		}
		return done{}
	case readWorkers:
		sentBack := maps.Clone(w.sentBack)
		if sentBack == nil {
			sentBack = map[uint64]bool{}
		}
		return workersRead{sentBack: sentBack, silent: w.rng.IntN(2) == 0}
	case placeBackup:
		return backupPlaced{a.task.id, w.place(a.task.id, a.task.seq)}
	case replaceTask:
		w.tasks[a.id] = slices.DeleteFunc(w.tasks[a.id], func(p *placed) bool { return a.why != "" || p.seq == a.seq })
		if len(w.tasks[a.id]) == 0 {
			delete(w.tasks, a.id)
		}
		w.place(a.id, 0)
		return done{}
	case readStore:
		return storeRead{int64(len(w.chunks)), int64(w.room)}
	case ensure, dropDamagedTasks, dropDamagedChunks:
		return done{}
	}
	w.fatalf("%s: an unknown action %T", tr.name, a)
	return nil
}

// place puts a task into the queue where the newest of its chunk is that of sequence last.
func (w *world) place(id chunkID, last uint64) bool {
	newest := uint64(0)
	if ps := w.tasks[id]; len(ps) > 0 {
		newest = ps[len(ps)-1].seq
	}
	if newest != last {
		return false
	}
	w.seq++
	w.tasks[id] = append(w.tasks[id], &placed{seq: w.seq})
	return true
}

// deliver brings tr's note, as it is published, to another.
func (w *world) deliver(tr, to *trainer) {
	n := w.notes[tr.name].Note
	if round := to.decide(moment{w.now, to.cursor}, noteReceived{tr.name, &n}); len(round) > 0 {
		w.fatalf("a note has %s do %v", to.name, round)
	}
}

// oldest gives the first task in a state.
func (w *world) oldest(state taskState) (id chunkID, p *placed) {
	for i, ps := range w.tasks {
		for _, q := range ps {
			if q.state == state && (p == nil || q.seq < p.seq) {
				id, p = i, q
			}
		}
	}
	return id, p
}

// work has a worker execute the first task that waits, if the store has room.
func (w *world) work() bool {
	id, p := w.oldest(waiting)
	if p == nil {
		return false
	}
	w.delivered = max(w.delivered, p.seq)
	return w.store(id, p)
}

func (w *world) store(id chunkID, p *placed) bool {
	if !w.chunks[id] && w.room > 0 && len(w.chunks) >= w.room {
		p.state = out // its worker waits for room
		return false
	}
	w.chunks[id] = true
	w.tasks[id] = slices.DeleteFunc(w.tasks[id], func(q *placed) bool { return q == p })
	if len(w.tasks[id]) == 0 {
		delete(w.tasks, id)
	}
	return true
}

// lose has a worker take a task, and not come back.
func (w *world) lose() {
	if _, p := w.oldest(waiting); p != nil {
		w.delivered = max(w.delivered, p.seq)
		p.state = out
	}
}

// forget has the broker forget the task that was given out first, or spend its deliveries.
func (w *world) forget() {
	if _, p := w.oldest(out); p != nil {
		p.state = orphaned
	}
}

// consume has a trainer take in what is there, and take the steps that are complete.
func (w *world) consume(tr *trainer) {
	for id := range w.chunks {
		if id.step >= tr.cursor && id.step < tr.cursor+w.limit.window {
			tr.held[id] = true
		}
	}
	for tr.cursor < w.limit.steps && len(w.missing(tr)) == 0 {
		tr.cursor++
	}
}

func (w *world) missing(tr *trainer) []int {
	var out []int
	for c := range w.limit.chunks {
		if !tr.held[chunkID{tr.cursor, c}] {
			out = append(out, c)
		}
	}
	return out
}

// finish sees that every live trainer comes to the run's end, now that nothing fails.
func (w *world) finish() {
	w.failAfter = -1
	for range 60 * w.limit.steps {
		over := true
		for _, tr := range w.trainers {
			if tr.dead {
				continue
			}
			w.renew(tr)
			if err := w.tell(tr, cycle{}); err != nil {
				w.fatalf("%s: %v", tr.name, err)
			}
			before := tr.cursor
			w.consume(tr)
			if tr.cursor < w.limit.steps {
				over = false
				if tr.cursor == before {
					_ = w.tell(tr, starved{tr.cursor, w.missing(tr)}) // nothing fails
				}
			}
		}
		if over {
			return
		}
		for w.work() {
		}
		for id, ps := range w.tasks { // those that wait for room
			for _, p := range slices.Clone(ps) {
				if w.room > 0 && p.state == out {
					w.store(id, p)
				}
			}
		}
		w.wait(3 * time.Second)
	}
	for _, tr := range w.trainers {
		w.t.Logf("%s at %d, dead %v, next %d, peers %+v", tr.name, tr.cursor, tr.dead, tr.next, tr.peers.live)
	}
	w.t.Logf("tasks of %v, chunks %v", slices.Collect(maps.Keys(w.tasks)), w.chunks)
	w.fatalf("no progress")
}

// actions executes a conversation, and gives the actions of the kinds that keep picks.
func (w *world) actions(tr *trainer, ev event, keep func(action) bool) []action {
	w.t.Helper()
	from := len(w.done)
	if err := w.tell(tr, ev); err != nil {
		w.t.Fatal(err)
	}
	return slices.DeleteFunc(slices.Clone(w.done[from:]), func(a action) bool { return !keep(a) })
}
