package runs

import (
	"context"
	"math/rand/v2"
	"time"

	"resslt/schemas"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// KeepSwept sweeps now and then until ctx ends, and hands each result to done. Of those that do so
// on one broker, however many they are, one sweeps in a time from every to twice as long: who has
// swept says so, and the others wait anew. A sweep costs some requests for each run of the broker,
// and a farm may have a thousand workers.
func KeepSwept(ctx context.Context, js jetstream.JetStream, every time.Duration, done func(slept []string, err error)) {
	nc := js.Conn()
	others := make(chan *nats.Msg, 16) // one that does not fit comes beside others
	if sub, err := nc.ChanSubscribe(schemas.SweptSubject, others); err == nil {
		defer func() { _ = sub.Unsubscribe() }() // fails only on a closed connection
	}
	for ctx.Err() == nil {
		t := time.NewTimer(every + rand.N(every))
		select {
		case <-others:
		case <-t.C:
			// Ahead of it: it takes a while. This one hears it, too, and waits once more.
			_ = nc.Publish(schemas.SweptSubject, nil) // unheard, others sweep as well
			done(Sweep(ctx, js, 0))
		case <-ctx.Done():
		}
		t.Stop()
	}
}
