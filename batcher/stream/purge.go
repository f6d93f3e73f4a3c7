package stream

import (
	"context"
	"errors"
	"strings"

	"resslt/batcher/internal/leases"
	"resslt/batcher/runs"
	"resslt/schemas"

	"github.com/nats-io/nats.go/jetstream"
)

// purgeSubject removes the messages of a stream whose subject matches filter,
// "b.<run>.<step>.*" say.
//
// nats-server 2.9.10, which is Debian 12's, has each consumer whose own filter
// covers the purged one skip everything that it was not given yet, wanted or not
// (stream.purge: with nothing left under the filter, the consumer is moved behind
// the stream's last message). So the purge names "*.<run>.<step>.*": the same
// messages, for a stream has one first token, but covered by no consumer's filter.
// For that every consumer of a stream that is purged so needs a filter: one without
// is covered by definition.
func purgeSubject(ctx context.Context, s jetstream.Stream, filter string) error {
	if _, rest, ok := strings.Cut(filter, "."); ok {
		filter = "*." + rest
	}
	return s.Purge(ctx, jetstream.WithPurgeSubject(filter))
}

// clearLeftTasks removes the tasks that earlier trainers left, where none is live: free is the
// sequence of a lease that is known to hold nothing, 0 for none. Workers begin with what they find
// when a trainer's lease appears, so this comes before it: a request for a tombstone among them
// is about a fault that may be fixed by now.
//
// How far the queue goes is read first. Whoever takes a lease after that issues tasks behind it,
// which stay.
func clearLeftTasks(ctx context.Context, run *runs.Run, free uint64) error {
	js := run.JetStream()
	queue, err := js.Stream(ctx, schemas.TasksStream(run.Name))
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	left := queue.CachedInfo().State
	if left.Msgs == 0 {
		return nil
	}
	held, err := leases.ReadAll(ctx, js, run.Name)
	if err != nil {
		return err
	}
	for _, h := range held {
		if h.Seq != free && !h.Over() {
			return nil
		}
	}
	err = queue.Purge(ctx, jetstream.WithPurgeSequence(left.LastSeq+1))
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	return err
}
