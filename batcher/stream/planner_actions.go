package stream

import (
	"context"
	"errors"
	"time"

	"resslt/batcher/internal/leases"
	"resslt/batcher/internal/link"
	"resslt/batcher/internal/process"
	"resslt/batcher/wire"
	"resslt/schemas"
	"resslt/schemas/errs"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// action is something that the planner wants done. do does it, and returns its result; an
// error ends the conversation.
type action interface {
	do(ctx context.Context, d *driver) (event, error)
}

type (
	// readPeers reads every trainer's lease note.
	readPeers struct{}
	// checkProcesses lists which trainers of this machine have ended.
	checkProcesses struct{ leases []leases.Held }
	// listTasks lists which steps have tasks.
	listTasks struct{}
	// purgeTasks removes a step's tasks.
	purgeTasks struct{ step int64 }
	// dropTask removes the tasks of a chunk.
	dropTask struct{ id chunkID }
	// listChunks lists which chunks are there, of a step or, for -1, of all.
	listChunks struct{ step int64 }
	// listChunk does so for one chunk.
	listChunk struct{ id chunkID }
	// purgeChunks removes a step's chunks.
	purgeChunks struct{ step int64 }
	// request puts a chunk's task into the queue, unless one is there. again: it was
	// requested before.
	request struct {
		id    chunkID
		again bool
	}
	// announce reports to the peers at once how far the tasks are issued.
	announce struct{}
	// ensure creates what is missing of the run in the broker.
	ensure struct{}
	// readQueue reads the state of the queue.
	readQueue struct{}
	// lookUpTask finds the newest task of a chunk.
	lookUpTask struct{ id chunkID }
	// lookUpSpentTask finds the task that the broker's advisory names.
	lookUpSpentTask struct{ seq uint64 }
	// readWorkers reads which tasks the workers sent back, which failed, and whether a worker fell
	// silent.
	readWorkers struct{}
	// placeBackup puts a copy of a task into the queue, if it is still the newest.
	placeBackup struct{ task queuedTask }
	// replaceTask puts a new task into the place of that of sequence seq: for a tombstone,
	// where why says the reason.
	replaceTask struct {
		id  chunkID
		seq uint64
		why string
	}
	// dropDamagedTasks deletes TASKS_<run> if it lists messages that it cannot give, a
	// chunk's task or the first.
	dropDamagedTasks struct{ id chunkID }
	// dropDamagedChunks does so with BATCH_<run>; that of a recording is an error.
	dropDamagedChunks struct {
		id        chunkID
		recording bool
	}
	// readStore reads how full BATCH_<run> is.
	readStore struct{}
)

func (readPeers) do(ctx context.Context, d *driver) (event, error) {
	notes, err := leases.ReadAll(ctx, d.run.JetStream(), d.run.Name)
	return peersRead{notes}, err
}

func (a checkProcesses) do(context.Context, *driver) (event, error) {
	ended := map[string]bool{}
	for _, h := range a.leases {
		ended[h.ID] = process.HasEnded(h.Process, h.PID)
	}
	return processesChecked{ended}, nil
}

func (listTasks) do(ctx context.Context, d *driver) (event, error) {
	ids, err := d.list(ctx, schemas.TasksStream(d.run.Name), ">")
	steps := map[int64]bool{}
	for id := range ids {
		steps[id.step] = true
	}
	return tasksListed{steps}, err
}

func (a purgeTasks) do(ctx context.Context, d *driver) (event, error) {
	s, err := d.run.JetStream().Stream(ctx, schemas.TasksStream(d.run.Name))
	if err == nil {
		err = purgeSubject(ctx, s, schemas.StepTasks(d.run.Name, a.step))
	}
	return tasksPurged(a), err
}

func (a dropTask) do(ctx context.Context, d *driver) (event, error) {
	s, err := d.run.JetStream().Stream(ctx, schemas.TasksStream(d.run.Name))
	if err == nil {
		err = purgeSubject(ctx, s, schemas.TaskSubject(d.run.Name, a.id.step, a.id.chunk))
	}
	return taskDropped(a), err
}

func (a listChunks) do(ctx context.Context, d *driver) (event, error) {
	filter := schemas.AllChunks(d.run.Name)
	if a.step >= 0 {
		filter = schemas.StepFilter(d.run.Name, a.step)
	}
	chunks, err := d.list(ctx, schemas.BatchStream(d.run.Name), filter)
	return chunksListed{chunks, a.step}, err
}

func (a listChunk) do(ctx context.Context, d *driver) (event, error) {
	chunks, err := d.list(ctx, schemas.BatchStream(d.run.Name), schemas.ChunkSubject(d.run.Name, a.id.step, a.id.chunk))
	return chunksListed{chunks, a.id.step}, err
}

func (a purgeChunks) do(ctx context.Context, d *driver) (event, error) {
	s, err := d.run.JetStream().Stream(ctx, schemas.BatchStream(d.run.Name))
	if err == nil {
		err = purgeSubject(ctx, s, schemas.StepFilter(d.run.Name, a.step))
	}
	if err == nil && d.held != nil {
		d.held.DropStep(a.step)
	}
	return chunksPurged(a), err
}

func (a request) do(ctx context.Context, d *driver) (event, error) {
	m, err := wire.EncodeTask(d.run.Name, d.run.Info.Digest, wire.NewTask(d.run.Spec(), d.order, a.id.step, a.id.chunk))
	if err != nil {
		return nil, err
	}
	placed, err := d.publishTask(ctx, m, 0)
	if placed {
		d.stats.issued.Add(1)
		if a.again {
			d.stats.repaired.Add(1)
		}
	}
	return taskPlaced{a.id, placed}, err
}

func (announce) do(_ context.Context, d *driver) (event, error) {
	d.lease.announce()
	return done{}, nil
}

func (ensure) do(ctx context.Context, d *driver) (event, error) {
	return done{}, d.run.EnsureOpen(ctx)
}

func (readQueue) do(ctx context.Context, d *driver) (event, error) {
	c, err := d.run.JetStream().Consumer(ctx, schemas.TasksStream(d.run.Name), schemas.WorkersConsumer)
	if err != nil {
		return nil, err
	}
	info := c.CachedInfo()
	return queueRead{queueState{info.NumPending, info.NumAckPending, info.Delivered.Stream}}, nil
}

func (a lookUpTask) do(ctx context.Context, d *driver) (event, error) {
	s, err := d.run.JetStream().Stream(ctx, schemas.TasksStream(d.run.Name))
	if err != nil {
		return nil, err
	}
	m, err := s.GetLastMsgForSubject(ctx, schemas.TaskSubject(d.run.Name, a.id.step, a.id.chunk))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return taskLookedUp{a.id, nil}, nil
	}
	if err != nil {
		return nil, err
	}
	msg := &nats.Msg{Subject: m.Subject, Header: taskHeader(m.Header), Data: m.Data}
	return taskLookedUp{a.id, &queuedTask{a.id, m.Sequence, msg}}, nil
}

const advisoryHint = "see who else publishes to the broker's $JS.EVENT.ADVISORY subjects"

func (a lookUpSpentTask) do(ctx context.Context, d *driver) (event, error) {
	s, err := d.run.JetStream().Stream(ctx, schemas.TasksStream(d.run.Name))
	if err != nil {
		return nil, err
	}
	m, err := s.GetMsg(ctx, a.seq)
	if err != nil {
		return nil, err // done after all
	}
	run, step, chunk, err := schemas.ParseStepSubject(m.Subject)
	if err != nil || run != d.run.Name || step >= d.run.Spec().Steps() || chunk >= d.run.Spec().Chunks() {
		return nil, errs.New("read advisory", m.Subject, advisoryHint, errs.ErrCorrupt)
	}
	return taskSpent{queuedTask{id: chunkID{step, chunk}, seq: a.seq}}, nil
}

func (readWorkers) do(ctx context.Context, d *driver) (event, error) {
	beats, err := d.run.Workers(ctx)
	sentBack, failed, silent := map[uint64]bool{}, map[uint64]string{}, false
	now := time.Now()
	for _, b := range beats {
		// After the ack wait its tasks have gone to others.
		if late := b.Overdue(now); !b.Left && late >= 0 && late < d.run.Options().AckWait {
			silent = true
		}
		for _, f := range b.Failed {
			failed[f.Seq] = f.Why
		}
		for _, seq := range b.SentBack {
			sentBack[seq] = true
		}
	}
	return workersRead{sentBack, failed, silent}, err
}

func (a placeBackup) do(ctx context.Context, d *driver) (event, error) {
	placed, err := d.publishTask(ctx, a.task.message, a.task.seq)
	if placed {
		d.stats.repaired.Add(1)
	}
	return backupPlaced{a.task.id, placed}, err
}

func (a replaceTask) do(ctx context.Context, d *driver) (event, error) {
	m, err := wire.EncodeTask(d.run.Name, d.run.Info.Digest, wire.NewTask(d.run.Spec(), d.order, a.id.step, a.id.chunk))
	if err != nil {
		return nil, err
	}
	s, err := d.run.JetStream().Stream(ctx, schemas.TasksStream(d.run.Name))
	if err != nil {
		return nil, err
	}
	if a.why == "" {
		err = s.DeleteMsg(ctx, a.seq)
		if errors.Is(err, jetstream.ErrMsgNotFound) || errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) {
			err = nil
		}
	} else {
		m.Header.Set(schemas.HeaderGiveUp, a.why)
		err = purgeSubject(ctx, s, m.Subject) // with its backup
	}
	if err != nil {
		return nil, err
	}
	// Between the two, another trainer may have requested it as any chunk: then it is
	// tried as often again.
	_, err = d.publishTask(ctx, m, 0)
	return done{}, err
}

func (a dropDamagedTasks) do(ctx context.Context, d *driver) (event, error) {
	name := d.run.Name
	_, err := d.run.DropDamaged(ctx, schemas.TasksStream(name), schemas.TaskSubject(name, a.id.step, a.id.chunk))
	return done{}, err
}

func (a dropDamagedChunks) do(ctx context.Context, d *driver) (event, error) {
	stream, subject := schemas.BatchStream(d.run.Name), schemas.ChunkSubject(d.run.Name, a.id.step, a.id.chunk)
	if !a.recording {
		_, err := d.run.DropDamaged(ctx, stream, subject)
		return done{}, err
	}
	damaged, err := d.run.Damaged(ctx, stream, subject)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return done{}, nil
	case err == nil && damaged:
		err = errs.New("read recording", stream, "export what can be read with `resslt record export`, then start with --fresh",
			errs.Because(errs.ErrCorrupt, "the broker's store lists chunks that it cannot give"))
	}
	return done{}, err
}

func (readStore) do(ctx context.Context, d *driver) (event, error) {
	s, err := d.run.JetStream().Stream(ctx, schemas.BatchStream(d.run.Name))
	if err != nil {
		return nil, err
	}
	info := s.CachedInfo()
	if d.held != nil {
		if bytes, limit := d.held.Held(); limit > 0 && bytes+int64(d.run.Spec().MaxChunkMessage()) > limit {
			return storeRead{bytes, limit}, nil
		}
	}
	return storeRead{int64(info.State.Bytes), info.Config.MaxBytes}, nil
}

// list gives the chunks that a stream has messages for, under a filter of subjects.
func (d *driver) list(ctx context.Context, stream, filter string) (map[chunkID]bool, error) {
	s, err := d.run.JetStream().Stream(ctx, stream)
	if err != nil {
		return nil, err
	}
	info, err := s.Info(ctx, jetstream.WithSubjectFilter(filter))
	if err != nil {
		return nil, err
	}
	there := make(map[chunkID]bool, len(info.State.Subjects))
	for subject := range info.State.Subjects {
		if _, step, chunk, err := schemas.ParseStepSubject(subject); err == nil {
			there[chunkID{step, chunk}] = true
		}
	}
	return there, nil
}

// publishTask puts a task into the queue where the newest of its subject is that of
// sequence last, 0 for none. It reports whether that was so.
func (d *driver) publishTask(ctx context.Context, m *nats.Msg, last uint64) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, link.APITimeout)
	defer cancel()
	_, err := d.run.JetStream().PublishMsg(ctx, m, jetstream.WithExpectLastSequencePerSubject(last))
	if link.IsWrongLast(err) {
		return false, nil
	}
	return err == nil, err
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
