package stream

import (
	"fmt"
	"maps"
	"slices"
)

// meetPeers learns who else trains the run, and whether one that did is gone.
func (p *planner) meetPeers() []action {
	if p.peers.isDue(p.at.now) {
		return []action{readPeers{}}
	}
	if leases := p.peers.unexpired(p.at.now); len(leases) > 0 && p.talk.ended == nil {
		return []action{checkProcesses{leases}}
	}
	if p.peers.findLive(p.at.now, p.talk.ended, p.at.cursor, p.limits.runWindow) {
		p.left = true
	}
	return nil
}

// clear purges, at the beginning and when a peer is gone, the tasks and chunks of steps
// that no live trainer wants: they would take the room of those inside the windows. It
// learns which chunks are there. What a trainer that begins alone finds in the queue was
// purged before its lease (clearLeftTasks).
func (p *planner) clear() []action {
	t := &p.talk
	if p.prepared && !p.left {
		return nil
	}
	if t.tasks == nil {
		return []action{listTasks{}}
	}
	if steps := p.unwanted(t.tasks); len(steps) > 0 {
		return each(steps, func(step int64) action { return purgeTasks{step} })
	}
	if t.chunks == nil {
		return []action{listChunks{step: -1}}
	}
	if steps := p.unwanted(t.chunks); len(steps) > 0 {
		return each(steps, func(step int64) action { return purgeChunks{step} })
	}
	maps.DeleteFunc(p.present, func(id chunkID, _ bool) bool { return !t.chunks[id.step] })
	p.prepared, p.left = true, false
	return nil
}

// unwanted gives those of steps that no live trainer wants, in order.
func (p *planner) unwanted(steps map[int64]bool) []int64 {
	s := p.standing()
	var out []int64
	for step := range steps {
		if !s.wants(step, p.at.cursor) {
			out = append(out, step)
		}
	}
	slices.Sort(out)
	return out
}

// each gives an action for each of some things.
func each[T any](things []T, f func(T) action) []action {
	out := make([]action, len(things))
	for i, thing := range things {
		out[i] = f(thing)
	}
	return out
}

// purge deletes the chunks of the steps that this trainer is done with and that no peer
// wants, or did when it last reported.
func (p *planner) purge() []action {
	if p.recording() {
		return nil
	}
	for ; p.purged < p.at.cursor-p.limits.keep; p.purged++ {
		p.passed[p.purged] = true
	}
	return each(p.unwanted(p.passed), func(step int64) action { return purgeChunks{step} })
}

// dropBackups takes the tasks of steps that are over from the queue, where a chunk had
// more than one: the one whose worker died would be executed for nothing. The chunks of
// a recording stay wanted; of those, the steps are over that all trainers are past and
// that the recording does not lack.
func (p *planner) dropBackups() []action {
	var over []chunkID
	for id := range p.backups {
		passed := id.step < p.at.cursor && !p.lacking[id] &&
			!slices.ContainsFunc(p.peers.live, func(o peer) bool { return o.cursor <= id.step })
		if !p.wants(id.step) || p.recording() && passed {
			over = append(over, id)
		}
	}
	slices.SortFunc(over, compareChunks)
	return each(over, func(id chunkID) action { return dropTask{id} })
}

func (p *planner) checkLead() []action {
	p.talk.leads = leads(p.self(), p.peers.live)
	return nil
}

// issue requests the chunks of the steps that came into the window, a step a round.
func (p *planner) issue() []action {
	t := &p.talk
	if !t.leads {
		return nil
	}
	for p.next = max(p.next, p.at.cursor); p.next < p.limit(); p.next++ {
		if isIssued(p.next, p.peers.live) {
			continue
		}
		present := p.present
		if !p.alone() {
			// A peer that is gone by now may have requested it.
			if t.listed != p.next {
				return []action{listChunks{step: p.next}}
			}
			present = t.there
		}
		if t.requested != p.next {
			t.requested = p.next
			if round := p.requests(p.next, present, false); len(round) > 0 {
				return round
			}
		}
		p.issued = p.next + 1
	}
	if p.next > t.first && !p.alone() && !t.announced {
		t.announced = true
		return []action{announce{}}
	}
	return nil
}

// requests asks for the chunks of a step that are not present.
func (p *planner) requests(step int64, present map[chunkID]bool, again bool) []action {
	var out []action
	for c := range p.limits.chunks {
		if id := (chunkID{step, c}); !present[id] {
			out = append(out, request{id, again})
		}
	}
	return out
}

func ensureStreams(*planner) []action  { return []action{ensure{}} }
func readQueueState(*planner) []action { return []action{readQueue{}} }
func listAllChunks(*planner) []action  { return []action{listChunks{step: -1}} }

// lookAt is how many of the missing chunks are looked for on a damaged disk at once.
const lookAt = 4

// checkDamage looks after the streams in which a missing chunk or its task should be. A
// recording is not made again behind its owner's back.
func (e starved) checkDamage(p *planner) []action {
	var out []action
	for _, c := range e.missing[:min(len(e.missing), lookAt)] {
		id := chunkID{e.step, c}
		out = append(out, dropDamagedTasks{id}, dropDamagedChunks{id, p.recording()})
	}
	return out
}

// beginRepair works out which steps are repaired: those whose chunks were requested, by
// this trainer or, as far as the credit goes, by a peer.
func (p *planner) beginRepair() []action {
	p.talk.from, p.talk.to = p.at.cursor, p.limit()
	if p.alone() {
		p.talk.to = min(p.talk.to, p.next)
	}
	return nil
}

// repair requests again, a step a round, the chunks that are neither there nor in the
// queue, and looks after the queued tasks of the step that the trainer waits for.
func (p *planner) repair() []action {
	t := &p.talk
	for ; t.from < t.to; t.from++ {
		if t.requested != t.from {
			t.requested = t.from
			if round := p.requests(t.from, p.present, true); len(round) > 0 {
				return round
			}
		}
		if round := p.lookAfter(); len(round) > 0 {
			return round
		}
	}
	return nil
}

// lookAfter sees to the queued tasks of chunks that the trainer waits for. While tasks
// wait for workers, their turn comes. When none does, and one was given out, its worker is
// slow, cut off or dead, or it is with nobody: spent or forgotten.
func (p *planner) lookAfter() []action {
	t := &p.talk
	if ids := t.refused; len(ids) > 0 {
		t.refused = nil
		if t.queue.waiting == 0 {
			return each(ids, func(id chunkID) action { return lookUpTask{id} })
		}
	}
	if round := t.follow; len(round) > 0 {
		t.follow = nil
		return round
	}
	return p.replaceSpent()
}

// repairOthers backs up the tasks of the steps after the one that the trainer waits for, too, where
// a worker fell silent lately: it had several, and each of their steps would else be waited for in
// its turn. Nobody says which were that worker's. So this is done where no task waits and the
// other workers have nothing else to do, and not for a worker that is merely slow: its tasks
// would be made twice.
func (p *planner) repairOthers() []action {
	t := &p.talk
	if round := t.follow; len(round) > 0 {
		t.follow = nil
		return round
	}
	if len(t.others) == 0 || t.queue.waiting > 0 || t.queue.out == 0 {
		return nil
	}
	if t.blamed == nil {
		return []action{readWorkers{}}
	}
	ids := t.others
	t.others = nil
	if !t.silent {
		return nil
	}
	return each(ids, func(id chunkID) action { return lookUpTask{id} })
}

// backUp gives a task that is out to a second worker, as long as the first has for a sign
// of life. Whoever is done first publishes the chunk; the other finds it there.
func (p *planner) backUp(task queuedTask) {
	if at, ok := p.backups[task.id]; !ok || p.at.now.Sub(at) >= p.limits.ackWait {
		p.talk.follow = append(p.talk.follow, placeBackup{task})
	}
}

// adopt looks after a task that was given out and is with nobody. The broker reports a
// task whose deliveries are spent (exhausted), but none that its consumer has forgotten: a
// broker that was killed restores what it had given out from an earlier moment. So an
// orphaned task is replaced once, and counts as spent where its replacement is orphaned,
// too.
func (p *planner) adopt(task queuedTask) {
	if p.reissued[task.id] {
		p.talk.spent = append(p.talk.spent, task)
		return
	}
	maps.DeleteFunc(p.reissued, func(o chunkID, _ bool) bool { return !p.wants(o.step) })
	p.reissued[task.id] = true
	p.talk.follow = append(p.talk.follow, replaceTask{task.id, task.seq, ""})
}

// replaceSpent replaces tasks that have spent their deliveries. Where a worker sent one
// back for a trouble of its own, nothing is said of the task, and it is issued again.
// Otherwise it killed its workers, or failed where others did not: then a tombstone is
// requested in its place.
func (p *planner) replaceSpent() []action {
	t := &p.talk
	if len(t.spent) == 0 {
		return nil
	}
	if t.blamed == nil {
		return []action{readWorkers{}}
	}
	spent := t.spent
	t.spent = nil
	return each(spent, func(task queuedTask) action {
		why := fmt.Sprintf("its task was tried %d times without success", p.limits.deliveries)
		if said := t.whys[task.seq]; said != "" {
			why = fmt.Sprintf("tried %d times: %s", p.limits.deliveries, said)
		}
		if t.blamed[task.seq] {
			why = ""
		}
		return replaceTask{task.id, task.seq, why}
	})
}

// readFullStore asks how full the stream is, where the step that the trainer waits for
// lacks chunks.
func (p *planner) readFullStore() []action {
	if p.recording() || p.complete(p.talk.step) {
		return nil
	}
	return []action{readStore{}}
}

// makeRoom purges the chunks of the run's last step that no trainer waits for, where the
// stream is full while a step of the trainer's lacks some: several trainers' windows, or a
// byte limit below the window, would shut the missing ones out for good. What is purged is
// made again when its turn comes. Before that go the chunks that nobody wants: a worker that was
// late publishes those of a step that is purged already, and nothing else would look for them.
func (p *planner) makeRoom() []action {
	t := &p.talk
	if t.store == nil || t.store.maxBytes <= 0 || t.store.bytes+p.limits.chunkMessage <= t.store.maxBytes {
		return nil
	}
	steps := map[int64]bool{}
	for id := range p.present {
		steps[id.step] = true
	}
	if late := p.unwanted(steps); len(late) > 0 {
		maps.DeleteFunc(p.present, func(id chunkID, _ bool) bool { return slices.Contains(late, id.step) })
		return each(late, func(step int64) action { return purgeChunks{step} })
	}
	last := int64(-1)
	for id := range p.present {
		if id.step != t.step && !slices.ContainsFunc(p.peers.live, func(o peer) bool { return o.cursor == id.step }) {
			last = max(last, id.step)
		}
	}
	if last < 0 {
		return nil
	}
	p.next = min(p.next, last)
	return []action{purgeChunks{last}}
}

// complete reports whether all chunks of a step were there when they were last listed.
func (p *planner) complete(step int64) bool { return len(p.chunksOf(step)) == p.limits.chunks }

// chunksOf lists the chunks of a step that were there when they were last listed.
func (p *planner) chunksOf(step int64) []int {
	var out []int
	for c := range p.limits.chunks {
		if p.present[chunkID{step, c}] {
			out = append(out, c)
		}
	}
	return out
}

// list looks whether a peer has had the chunk made again.
func (e unusable) list(p *planner) []action {
	if p.alone() {
		return nil
	}
	return []action{listChunk(e)}
}

// request asks for the chunk once more.
func (e unusable) request(p *planner) []action {
	if p.talk.there[e.id] {
		return nil
	}
	return []action{request{e.id, true}}
}

// maxRequests bounds what one conversation of a seal requests: others wait meanwhile.
const maxRequests = 2000

// requestLacking requests the chunks of the run that the broker does not hold, maxRequests
// of them at most, each once, or again where their tasks are looked after.
func (p *planner) requestLacking() []action {
	p.lacking = map[chunkID]bool{}
	var out []action
	for step := range p.limits.steps {
		for c := range p.limits.chunks {
			id := chunkID{step, c}
			if p.present[id] {
				delete(p.sealing, id)
				continue
			}
			p.lacking[id] = true
			if (!p.sealing[id] || p.talk.look) && len(out) < maxRequests {
				out = append(out, request{id, true})
			}
		}
	}
	return out
}

func compareChunks(a, b chunkID) int {
	if a.step != b.step {
		return int(a.step - b.step)
	}
	return a.chunk - b.chunk
}
