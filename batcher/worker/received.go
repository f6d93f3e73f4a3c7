package worker

import (
	"context"
	"time"

	"resslt/batcher/internal/link"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// received is a task as a jetstream.Msg.
type received struct {
	m  *nats.Msg
	nc *nats.Conn
}

func (r received) Metadata() (*jetstream.MsgMetadata, error) {
	meta, err := r.m.Metadata()
	if err != nil {
		return nil, err
	}
	return &jetstream.MsgMetadata{
		Sequence:     jetstream.SequencePair(meta.Sequence),
		NumDelivered: meta.NumDelivered, NumPending: meta.NumPending, Timestamp: meta.Timestamp,
		Stream: meta.Stream, Consumer: meta.Consumer, Domain: meta.Domain,
	}, nil
}
func (r received) Data() []byte                       { return r.m.Data }
func (r received) Headers() nats.Header               { return r.m.Header }
func (r received) Subject() string                    { return r.m.Subject }
func (r received) Reply() string                      { return r.m.Reply }
func (r received) Ack() error                         { return r.m.Ack() }
func (r received) Nak() error                         { return r.m.Nak() }
func (r received) NakWithDelay(d time.Duration) error { return r.m.NakWithDelay(d) }
func (r received) InProgress() error                  { return r.m.InProgress() }
func (r received) Term() error                        { return r.m.Term() }
func (r received) TermWithReason(why string) error    { return r.m.Respond([]byte("+TERM " + why)) }

// DoubleAck waits for the broker's answer no longer than for any other.
func (r received) DoubleAck(ctx context.Context) error {
	ctx, cancel := link.WhileConnected(ctx, r.nc, link.APITimeout)
	defer cancel()
	return r.m.AckSync(nats.Context(ctx))
}
