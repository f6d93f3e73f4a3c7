package broker

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"resslt/batcher/internal/link"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ConnectOptions say where the broker is. One of URL and Broker is given.
type ConnectOptions struct {
	URL    string  // "nats://host:4222", several comma-separated, tls:// or ws:// as nats.go has them
	Broker *Broker // an embedded broker, spoken to in-process
	// At most one of Creds, NKey and Token is given, and Token alone may be with
	// an embedded broker, whose own is taken.
	Creds string // NATS credentials file
	NKey  string // file of a user's nkey seed
	Token string
	// TLS. A broker that wants it gets it, whatever the URL's scheme.
	CA        string // PEM file of the authorities that may have signed the broker's certificate; empty: the system's
	Cert, Key string // PEM files of our own certificate, for a broker that asks for one
	// Role is ours in a broker with permissions: it may subscribe to its own
	// inbox alone. Empty: one who may do everything.
	Role Role
	Name string // shown in the server's connection list; default "resslt"
	// Timeout of the first try to connect, default 5 s; later ones get longer. Patience is
	// how long a broker that is too slow, too full or closes the connection is tried again;
	// default 20 s. Once connected, a lost broker is looked for without end.
	Timeout, Patience time.Duration
	// Report is called once, with a line, when the first connection is tried again, when the
	// connection is lost and waited for, and once when it is back. It must not wait long.
	// Nil: nothing is reported.
	Report func(string)
	// Denied is called, each time, when the broker refused an operation, with ErrDenied,
	// which names it. It must not wait long. Nil: nothing is reported, and the operations
	// that wait for an answer say so.
	Denied func(error)
}

func (o ConnectOptions) applyDefaults() ConnectOptions {
	if o.Name == "" {
		o.Name = "resslt"
	}
	if o.Timeout == 0 {
		o.Timeout = link.APITimeout
	}
	if o.Patience == 0 {
		o.Patience = 20 * time.Second
	}
	if o.Token == "" && o.Broker != nil {
		o.Token = o.Broker.token
	}
	return o
}

// Connect connects to the broker and sees that JetStream is on. The caller closes
// the connection. It returns ErrUnavailable, naming the URL and the hint, where
// no broker answers, JetStream is off, or TLS does not come about; ErrDenied where
// our credentials or certificate are refused; ErrNotFound or ErrCorrupt for a file of the
// options; ErrUsage where no broker is named, or too much; ctx's error where that ends.
func Connect(ctx context.Context, o ConnectOptions) (*nats.Conn, jetstream.JetStream, error) {
	o = o.applyDefaults()
	if err := o.validate(); err != nil {
		return nil, nil, err
	}
	where := link.RedactURLs(o.URL)
	opts := []nats.Option{
		nats.Name(o.Name), nats.CustomInboxPrefix(o.Role.inbox()),
		nats.MaxReconnects(-1), nats.ReconnectWait(250 * time.Millisecond), nats.ReconnectJitter(100*time.Millisecond, 250*time.Millisecond),
		// A connection that a router forgot is silent, not closed: it is given up
		// after 40 s, within BrokerTimeout. On a slow link answers queue behind
		// the chunks of a pull; less would take that for silence.
		nats.PingInterval(10 * time.Second), nats.MaxPingsOutstanding(3),
		// What is published while the broker is away is refused rather than
		// held back: the callers retry, and write once.
		nats.ReconnectBufSize(-1),
		// The default handler prints to standard error; slow consumers are
		// found by their gaps in the sequence.
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			if o.Denied != nil && errors.Is(err, nats.ErrPermissionViolation) {
				o.Denied(link.Denial("broker", where, link.Violation(err)))
			}
		}),
	}
	if o.Broker != nil {
		where = "in this process"
		opts = append(opts, nats.InProcessServer(o.Broker.srv))
	}
	f := first{o: o, where: where, until: time.Now().Add(o.Patience), asked: new(atomic.Bool)}
	secrets, err := o.secrets(f.asked)
	if err != nil {
		return nil, nil, err
	}
	opts = append(opts, secrets...)
	if o.Report != nil {
		opts = append(opts, reportChanges(where, o.Report)...)
	}
	nc, err := f.connect(ctx, opts)
	if err != nil {
		return nil, nil, err
	}
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(link.APITimeout))
	if err == nil {
		err = f.account(ctx, nc, js)
	}
	if err != nil {
		nc.Close()
		return nil, nil, err
	}
	return nc, js, nil
}

// reportChanges calls report when the connection is lost and when it is back, in
// turns.
func reportChanges(broker string, report func(string)) []nats.Option {
	var lost atomic.Bool
	return []nats.Option{
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			// Without an error it was closed on purpose.
			if err != nil && lost.CompareAndSwap(false, true) {
				report("broker " + broker + " lost, waiting for it")
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) {
			if lost.CompareAndSwap(true, false) {
				report("broker " + broker + " is back")
			}
		}),
	}
}
