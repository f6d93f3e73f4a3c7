package link

import (
	"context"
	"errors"
	"slices"
	"time"

	"resslt/schemas/errs"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Codes of JetStream's API errors that are decided upon here.
const (
	errCodeWrongLast      = 10071 // expect last sequence per subject failed: written before
	errCodeStreamFull     = 10077 // stream store failed: over its limits
	errCodeMemory         = 10028
	errCodeStorage        = 10047
	errCodeStreamInvalid  = 10096 // it is being deleted
	errCodeConsumerCreate = 10012 // of a stream that is being deleted, say
	errCodeResources      = 10023
	errCodeStreams        = 10027 // of the account, as many as it may have
	errCodeOverlap        = 10065 // subjects of another stream's
	errCodeAckPending     = 10121 // of a consumer, more than the account lets
	errCodeStreamConfig   = 10052
	errCodeStreamStore    = 10049 // error creating store for stream
	errCodeSealed         = 10109
	errCodeNoCluster      = 10074 // copies in a server that has no cluster
	errCodeNoPeers        = 10005 // more copies than the cluster has servers
)

// Unavailable wraps an error of the broker's.
func Unavailable(nc *nats.Conn, op, where string, err error) error {
	hint := "see that the broker runs and that its store has room"
	if isSilence(nc, err) {
		if no := Refusal(nc); no != nil && nc.IsConnected() {
			return Denial(op, where, no)
		}
		err, hint = silence{BrokerName(nc), err}, "start the broker again, or see that it can be reached"
	}
	return errs.New(op, where, hint, errs.BecauseErr(errs.ErrUnavailable, err))
}

// isSilence: the broker did not answer, in whichever of the many ways in which the
// client says so. A connection that was closed is another matter.
func isSilence(nc *nats.Conn, err error) bool {
	if nc.IsClosed() || errors.Is(err, nats.ErrConnectionClosed) {
		return false
	}
	if !nc.IsConnected() {
		return true
	}
	for _, e := range []error{
		nats.ErrReconnectBufExceeded, nats.ErrNoServers, nats.ErrTimeout, nats.ErrDisconnected, nats.ErrConnectionReconnecting,
		nats.ErrStaleConnection, jetstream.ErrNoHeartbeat, jetstream.ErrServerShutdown, context.DeadlineExceeded,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// silence is one text for every way in which a broker does not answer.
type silence struct {
	broker string
	err    error
}

func (s silence) Error() string { return "broker " + s.broker + " does not answer" }
func (s silence) Unwrap() error { return s.err }

// IsWrongLast says that the subject has been written before.
func IsWrongLast(err error) bool { return hasCode(err, errCodeWrongLast) }

// IsGone says that a stream or its consumer is not there: it is being deleted, say.
func IsGone(err error) bool {
	return errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, jetstream.ErrConsumerNotFound) || hasCode(err, errCodeConsumerCreate, errCodeStreamInvalid)
}

// IsSealed says that the stream is a recording, and takes nothing any more.
func IsSealed(err error) bool { return hasCode(err, errCodeSealed) }

// IsOverQuota says that the broker has not the memory or disk for a stream, or that the account
// has all the streams that it may have.
func IsOverQuota(err error) bool {
	return hasCode(err, errCodeMemory, errCodeStorage, errCodeResources, errCodeStreams)
}

// IsOverlap says that a subject is in another stream.
func IsOverlap(err error) bool { return hasCode(err, errCodeOverlap) }

// IsOverAckPending says that a consumer may have fewer messages out than it asks for.
func IsOverAckPending(err error) bool { return hasCode(err, errCodeAckPending) }

// IsFewServers says that a stream wants more copies than there are servers.
func IsFewServers(err error) bool { return hasCode(err, errCodeNoCluster, errCodeNoPeers) }

// IsStoreTaken says that a stream's store cannot be created: while that of a deleted one of
// the same name is being removed, say.
func IsStoreTaken(err error) bool { return hasCode(err, errCodeStreamStore) }

// IsOtherConfig says that a stream cannot be given another configuration.
func IsOtherConfig(err error) bool { return hasCode(err, errCodeStreamConfig) }

// isFull says that the stream is at a limit, and takes messages again when some are purged.
func isFull(err error) bool { return hasCode(err, errCodeStreamFull) || IsOverQuota(err) }

func hasCode(err error, codes ...jetstream.ErrorCode) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && slices.Contains(codes, api.ErrorCode)
}

// Patience measures how long a broker has not answered. It belongs to one
// goroutine.
type Patience struct {
	Conn  *nats.Conn
	Limit time.Duration
	since time.Time // of the first failure in a row; zero after a success
	wait  time.Duration
}

// Answered says that the broker answered.
func (p *Patience) Answered() { p.since, p.wait = time.Time{}, 0 }

// Failed waits a little before the next try, and returns an error when the
// patience is over, when the connection was closed on purpose, or with ctx.
func (p *Patience) Failed(ctx context.Context, op, where string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if no := Refusal(p.Conn); no != nil && p.Conn.IsConnected() {
		return Denial(op, where, no) // it will not think better of it
	}
	now := time.Now()
	if p.since.IsZero() {
		p.since = now
	}
	if gone := now.Sub(p.since); gone > p.Limit || errors.Is(err, nats.ErrConnectionClosed) {
		hint := "see what the broker logs, then resume with --resume"
		switch {
		case isSilence(p.Conn, err):
			err, hint = silence{BrokerName(p.Conn), err}, "start the broker again, then resume with --resume"
		case isFull(err):
			hint = "give the broker's store room (its disk, max_file_store, the account's quota), then resume with --resume"
		}
		return errs.New(op, where, hint, errs.BecauseErr(errs.ErrUnavailable, outOfPatience{gone.Round(time.Second), err}))
	}
	p.wait = min(max(20*time.Millisecond, 2*p.wait), time.Second)
	return Sleep(ctx, p.wait)
}

// outOfPatience says for how long something was tried.
type outOfPatience struct {
	after time.Duration
	err   error
}

func (g outOfPatience) Error() string {
	return "gave up after " + g.after.String() + ": " + g.err.Error()
}
func (g outOfPatience) Unwrap() error { return g.err }

// Sleep waits for d or until ctx ends, and returns ctx's error in that case.
func Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// WhileConnected bounds requests to the broker: by limit, and by the connection. A
// request whose answer went down with the broker need not wait for its time to
// pass. The caller sees by its own ctx whether it was meant.
func WhileConnected(ctx context.Context, nc *nats.Conn, limit time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	lost := nc.StatusChanged(nats.RECONNECTING, nats.DISCONNECTED, nats.CLOSED)
	done := make(chan struct{})
	go func() {
		defer close(done)
		select {
		case <-lost:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		cancel()
		<-done
		nc.RemoveStatusListener(lost)
	}
}

// PassTimeout bounds one conversation; the tasks of a wide window take a while to issue,
// and a conversation that was cut short is continued.
const PassTimeout = 30 * time.Second
