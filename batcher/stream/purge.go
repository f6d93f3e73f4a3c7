package stream

import (
	"context"
	"strings"

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
