package batcher

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"resslt/schemas"
	"resslt/schemas/errs"
)

// lookAt is how many of the missing chunks are looked for on a damaged disk at once.
const lookAt = 4

// Heal looks after a step that does not become complete, for it is missing some
// chunks: it makes again what the broker lost or cannot give, asks again for every
// chunk of the window that is neither there nor in the queue, and takes care of the
// tasks of step that are with a worker which does not come back (backup) or with
// nobody (stranded). It returns the chunks of step that are in the
// stream.
func (p *Planner) Heal(ctx context.Context, step int64, missing []int) (there []int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range missing[:min(len(missing), lookAt)] {
		if err := p.mendDamage(ctx, chunkID{step, c}); err != nil {
			return nil, err
		}
	}
	if err := p.run.ensureOpen(ctx); err != nil {
		return nil, err
	}
	if err := p.meet(ctx); err != nil {
		return nil, err
	}
	queue, err := p.queue(ctx)
	if err != nil {
		return nil, err
	}
	if p.present, err = p.list(ctx, schemas.AllChunks(p.run.Name)); err != nil {
		return nil, err
	}
	spec := p.run.Spec()
	end := p.limit()
	if p.alone() {
		end = min(end, p.next)
	}
	for s := p.cursor.Load(); s < end; s++ {
		for c := range spec.Chunks() {
			if p.present[schemas.ChunkSubject(p.run.Name, s, c)] {
				if s == step {
					there = append(there, c)
				}
				continue
			}
			asked, err := p.ask(ctx, s, c)
			switch {
			case err != nil:
				return nil, err
			case asked:
				p.stats.healed.Add(1)
			case s == step:
				if err := p.urge(ctx, queue, chunkID{s, c}); err != nil {
					return nil, err
				}
			}
		}
	}
	if err := p.makeRoom(ctx, step, len(there)); err != nil {
		return nil, err
	}
	return there, nil
}

// queue is the state of TASKS_<run>, as its consumer has it.
func (p *Planner) queue(ctx context.Context) (*jetstream.ConsumerInfo, error) {
	c, err := p.run.js.Consumer(ctx, schemas.TasksStream(p.run.Name), schemas.WorkersConsumer)
	if err != nil {
		return nil, err
	}
	return c.CachedInfo(), nil
}

// urge looks after the task of a chunk that the trainer is waiting for. While tasks
// wait for workers, its turn comes. When none does, and it was given out, its worker
// is slow, cut off or dead, or it lies there, spent or forgotten. p.mu is held.
func (p *Planner) urge(ctx context.Context, queue *jetstream.ConsumerInfo, id chunkID) error {
	if queue.NumPending > 0 {
		return nil
	}
	tasks, err := p.run.js.Stream(ctx, schemas.TasksStream(p.run.Name))
	if err != nil {
		return err
	}
	m, err := tasks.GetLastMsgForSubject(ctx, schemas.TaskSubject(p.run.Name, id.step, id.chunk))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil // done after all
	}
	if err != nil || m.Sequence > queue.Delivered.Stream {
		return err
	}
	if queue.NumAckPending == 0 {
		return p.stranded(ctx, tasks, id, m.Sequence)
	}
	return p.backup(ctx, id, m)
}

// backup gives a task that is out to a second worker, as long as the first has for
// a sign of life. Whoever is done first publishes the chunk; the other finds it
// there. p.mu is held.
func (p *Planner) backup(ctx context.Context, id chunkID, m *jetstream.RawStreamMsg) error {
	if at, ok := p.backups[id]; ok && time.Since(at) < p.run.opts.AckWait {
		return nil
	}
	again, err := p.publishTask(ctx, &nats.Msg{Subject: m.Subject, Header: taskHeader(m.Header), Data: m.Data}, m.Sequence)
	if again {
		p.backups[id] = time.Now()
		p.stats.healed.Add(1)
	}
	return err
}

// taskHeader is what a task's header says itself, without the broker's additions.
func taskHeader(h nats.Header) nats.Header {
	out := nats.Header{}
	for _, key := range []string{schemas.HeaderSpec, schemas.HeaderDigest, schemas.HeaderGiveUp} {
		if v := h.Get(key); v != "" {
			out.Set(key, v)
		}
	}
	return out
}

// dropBackups takes the tasks of steps that are over from the queue, where there
// was more than one of them: the one whose worker died would be made for nothing. Of a
// recording, whose chunks stay wanted, those are over that all trainers have behind them,
// and that it does not lack. p.mu is held.
func (p *Planner) dropBackups(ctx context.Context) error {
	others := *p.others.Load()
	for id := range p.backups {
		behind := id.step < p.cursor.Load() && !p.lacking[id] &&
			!slices.ContainsFunc(others, func(o place) bool { return o.cursor <= id.step })
		if p.Wanted(id.step) && !(p.recording() && behind) {
			continue
		}
		tasks, err := p.run.js.Stream(ctx, schemas.TasksStream(p.run.Name))
		if err != nil {
			return err
		}
		if err := purgeSubject(ctx, tasks, schemas.TaskSubject(p.run.Name, id.step, id.chunk)); err != nil {
			return err
		}
		delete(p.backups, id)
	}
	return nil
}

const advisoryMend = "see who else publishes to the broker's $JS.EVENT.ADVISORY subjects"

// exhausted handles the broker's advice that a task has spent its deliveries.
func (p *Planner) exhausted(ctx context.Context, advisory []byte) error {
	var a struct {
		Seq uint64 `json:"stream_seq"`
	}
	if err := json.Unmarshal(advisory, &a); err != nil || a.Seq == 0 {
		return errs.New("read advisory", p.run.Name, advisoryMend, errs.ErrCorrupt)
	}
	tasks, err := p.run.js.Stream(ctx, schemas.TasksStream(p.run.Name))
	if err != nil {
		return err
	}
	m, err := tasks.GetMsg(ctx, a.Seq)
	if err != nil {
		return err // done after all
	}
	run, step, chunk, err := schemas.ParseStepSubject(m.Subject)
	if err != nil || run != p.run.Name || step >= p.run.Spec().Steps() || chunk >= p.run.Spec().Chunks() {
		return errs.New("read advisory", m.Subject, advisoryMend, errs.ErrCorrupt)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.giveUp(ctx, tasks, chunkID{step, chunk}, a.Seq)
}

// giveUp replaces a task that has spent its deliveries, of sequence seq. Where a
// worker sent it back for a trouble of its own, nothing is said of the task, and it
// is asked for anew. Otherwise it killed its workers, or failed where others did
// not: then a worker is asked for a tombstone in its place. p.mu is held.
func (p *Planner) giveUp(ctx context.Context, tasks jetstream.Stream, id chunkID, seq uint64) error {
	beats, err := p.run.Workers(ctx)
	if err != nil {
		return err
	}
	why := fmt.Sprintf("its task was tried %d times without success", p.run.opts.MaxDeliver)
	if slices.ContainsFunc(beats, func(b WorkerBeat) bool { return slices.Contains(b.SentBack, seq) }) {
		why = ""
	}
	return p.replace(ctx, tasks, id, seq, why)
}

// stranded looks after a task that was given out and is with nobody, of sequence seq.
// The broker tells of a task whose deliveries are spent (exhausted), but of none that
// its consumer has forgotten: a broker that was killed restores what it had given out
// from an earlier moment. So the task is asked for anew once, and given up where that
// one lies there too. p.mu is held.
func (p *Planner) stranded(ctx context.Context, tasks jetstream.Stream, id chunkID, seq uint64) error {
	if p.anew[id] {
		return p.giveUp(ctx, tasks, id, seq)
	}
	maps.DeleteFunc(p.anew, func(o chunkID, _ bool) bool { return !p.Wanted(o.step) })
	p.anew[id] = true
	return p.replace(ctx, tasks, id, seq, "")
}

// replace puts a new task for a chunk in the place of that of sequence seq: for a
// tombstone where why it is given up is said. p.mu is held.
func (p *Planner) replace(ctx context.Context, tasks jetstream.Stream, id chunkID, seq uint64, why string) error {
	m, err := EncodeTask(p.run, NewTask(p.run.Spec(), p.order, id.step, id.chunk))
	if err != nil {
		return err
	}
	if why == "" {
		err = tasks.DeleteMsg(ctx, seq)
		if errors.Is(err, jetstream.ErrMsgNotFound) || errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) {
			err = nil
		}
	} else {
		m.Header.Set(schemas.HeaderGiveUp, why)
		err = purgeSubject(ctx, tasks, m.Subject) // with its backup
	}
	if err != nil {
		return err
	}
	// Between the two, another trainer may have asked for it as for any chunk: then
	// it is tried as often again.
	_, err = p.publishTask(ctx, m, 0)
	return err
}

// makeRoom purges the chunks of the run's last steps where the stream is full while
// a step of the trainer's lacks some: several trainers' windows, or a byte limit
// below the window, would shut the missing ones out for good. What is purged is
// made again when its turn comes. p.mu is held.
func (p *Planner) makeRoom(ctx context.Context, step int64, there int) error {
	if there == p.run.Spec().Chunks() || p.recording() {
		return nil
	}
	s, err := p.run.js.Stream(ctx, schemas.BatchStream(p.run.Name))
	if err != nil {
		return err
	}
	info := s.CachedInfo()
	room := int64(MaxChunkBytes(p.run.Spec()) + messageOverhead)
	if limit := info.Config.MaxBytes; limit <= 0 || int64(info.State.Bytes)+room <= limit {
		return nil
	}
	last := step
	for subject := range p.present {
		if _, s, _, err := schemas.ParseStepSubject(subject); err == nil {
			last = max(last, s)
		}
	}
	for _, o := range *p.others.Load() {
		if o.cursor == last {
			return nil // the step that another is waiting for
		}
	}
	if last == step {
		return nil
	}
	p.next = min(p.next, last)
	return p.purgeStep(ctx, last)
}
