package broker

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"resslt/batcher/internal/link"
	"resslt/schemas/errs"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// longerTries is how much longer the last tries of a first connection may take than
	// the first: a broker that many workers connect to at once takes its time over each.
	longerTries = 4
	// cutOffs is how often a broker that asked for a certificate must close the connection
	// right after the handshake before that is called a refusal. Its alert, which would say
	// so, is lost when the connection is reset; a busy broker closes connections as well.
	cutOffs = 3
)

// first is the first connection to a broker: its tries, until one succeeds, one is refused
// for good, or the patience is over.
type first struct {
	o     ConnectOptions
	where string
	until time.Time
	asked *atomic.Bool // the broker has asked for our certificate

	cut  int // tries that were cut off after the handshake
	told bool
}

// connect makes the connection.
func (f *first) connect(ctx context.Context, opts []nats.Option) (*nats.Conn, error) {
	timeout := f.o.Timeout
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		d := &dialer{ctx: ctx, timeout: timeout}
		nc, err := nats.Connect(f.o.URL, append(opts[:len(opts):len(opts)], nats.Timeout(timeout), nats.SetCustomDialer(d))...)
		if err = d.connected(err); err == nil {
			return nc, nil
		}
		if nc != nil { // connected just when ctx ended
			nc.Close()
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if isCutOff(err) {
			f.cut++
		}
		if !passes(err) || f.asked.Load() && f.cut >= cutOffs {
			return nil, f.refused(err)
		}
		if err := f.again(ctx, err, wait); err != nil {
			return nil, err
		}
		timeout = min(2*timeout, longerTries*f.o.Timeout)
	}
}

// account asks the broker for our account, which only one with JetStream answers.
func (f *first) account(ctx context.Context, nc *nats.Conn, js jetstream.JetStream) error {
	fail := func(hint string, err error) error {
		return errs.New("connect to broker", f.where, hint, errs.BecauseErr(errs.ErrUnavailable, err))
	}
	for {
		actx, cancel := context.WithTimeout(ctx, f.o.Timeout)
		_, err := js.AccountInfo(actx)
		cancel()
		no := link.Refusal(nc)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case no != nil:
			return link.Denial("connect to broker", f.where, no)
		case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
			return fail("start the server with `-js`; a leaf node needs default_js_domain (docs/scale.md)", err)
		case !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, nats.ErrTimeout):
			return fail("see that the server runs with `-js`", err)
		}
		if err := f.again(ctx, err, 0); err != nil {
			return err
		}
	}
}

// again waits before the next try, or says that the patience is over. The first time it
// reports that the broker is waited for.
func (f *first) again(ctx context.Context, err error, wait time.Duration) error {
	if time.Now().Add(wait).After(f.until) {
		return f.refused(err)
	}
	if !f.told && f.o.Report != nil {
		f.told = true
		f.o.Report(fmt.Sprintf("broker %s does not let us in yet (%s), trying again for %s", f.where, text(err), time.Until(f.until).Round(time.Second)))
	}
	return link.Sleep(ctx, wait)
}

// dialer opens the connections. Until the first is established, the end of ctx closes it;
// afterwards ctx says nothing any more.
type dialer struct {
	ctx     context.Context
	timeout time.Duration

	established atomic.Bool
	unwatch     []func() bool // used by the first connection's goroutine alone
}

// Dial is called by nats.go.
func (d *dialer) Dial(network, address string) (net.Conn, error) {
	n := net.Dialer{Timeout: d.timeout}
	if d.established.Load() {
		return n.Dial(network, address)
	}
	c, err := n.DialContext(d.ctx, network, address)
	if err == nil {
		d.unwatch = append(d.unwatch, context.AfterFunc(d.ctx, func() { _ = c.Close() })) // its reader tells
	}
	return c, err
}

// connected ends the watch over ctx. It returns err, or ctx's error where that closed the
// connection that was established.
func (d *dialer) connected(err error) error {
	d.established.Store(err == nil)
	for _, stop := range d.unwatch {
		if !stop() && err == nil {
			err = d.ctx.Err()
		}
	}
	return err
}

// passes reports whether another try may succeed: the broker, or what is between us, was too
// slow, too full, or closed the connection. What a certificate or a credential is refused
// for does not pass.
func passes(err error) bool {
	var (
		slow   net.Error
		record tls.RecordHeaderError // the broker's words, in the clear, when its own time for a handshake is over
	)
	switch says := strings.ToLower(err.Error()); {
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, nats.ErrTimeout), errors.As(err, &slow) && slow.Timeout():
		return true
	case isClosed(err), errors.As(err, &record):
		return true
	default:
		return strings.Contains(says, "authentication timeout") || isFullBroker(says)
	}
}

func isFullBroker(says string) bool {
	return strings.Contains(says, "maximum connections exceeded") || strings.Contains(says, "maximum account active connections exceeded")
}

// isClosed reports whether the other side closed the connection and said nothing.
func isClosed(err error) bool {
	for _, e := range []error{io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// isCutOff reports whether the other side closed the connection when the handshake was over.
func isCutOff(err error) bool {
	return isClosed(err) && strings.Contains(err.Error(), "after TLS handshake")
}

// alertOf is what the broker objected to in the TLS handshake, "" where it did not. The
// alert's type is not exported for a connection, but for its text.
func alertOf(err error) string {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "remote error" {
		return op.Err.Error()
	}
	return ""
}

// text is an error without the words of nats.go around it.
func text(err error) string { return strings.TrimPrefix(err.Error(), "nats: ") }

// refused says in our words why a first connection did not come about. Only a certificate or
// credentials that the broker does not take are ErrDenied.
func (f *first) refused(err error) error {
	fail := func(kind error, hint string) error {
		return errs.New("connect to broker", f.where, hint, errs.BecauseErr(kind, err))
	}
	var (
		authority x509.UnknownAuthorityError
		host      x509.HostnameError
		expired   x509.CertificateInvalidError
	)
	const certificate = "give --tls-cert and --tls-key, signed by an authority that the broker trusts"
	alert := alertOf(err)
	switch {
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired), errors.Is(err, nats.ErrAuthRevoked), errors.Is(err, nats.ErrAccountAuthExpired):
		return fail(errs.ErrDenied, "give what this broker knows us by: --creds, --nkey or --token")
	case errors.Is(err, nats.ErrNkeysNotSupported):
		return fail(errs.ErrDenied, "give --creds or --token: this broker has no nkeys")
	case errors.As(err, &authority):
		return fail(errs.ErrUnavailable, "give --tls-ca FILE, the authority that signed the broker's certificate")
	case errors.As(err, &host):
		return fail(errs.ErrUnavailable, "connect by a name that is in the broker's certificate")
	case errors.As(err, &expired):
		return fail(errs.ErrUnavailable, "have the broker's certificate renewed, and see that the clocks are right")
	case strings.Contains(alert, "certificate"), strings.Contains(alert, "access denied"),
		alert != "" && f.asked.Load() && f.o.Cert == "", // as TLS 1.2 has it
		isCutOff(err) && f.asked.Load() && f.cut >= cutOffs:
		return fail(errs.ErrDenied, certificate)
	case alert != "":
		return fail(errs.ErrUnavailable, "compare the broker's TLS versions and ciphers with ours: TLS 1.2 and 1.3, as Go has them")
	case errors.Is(err, nats.ErrSecureConnWanted):
		return fail(errs.ErrUnavailable, "leave --tls-ca and --tls-cert out, or configure TLS in the broker")
	case isFullBroker(err.Error()):
		return fail(errs.ErrUnavailable, "end some, or raise max_connections in the broker's configuration, a tenant's by `resslt keys --max-connections`")
	case isClosed(err):
		return fail(errs.ErrUnavailable, "see the broker's log for why it closes connections, and that --nats names a NATS broker")
	case passes(err):
		return fail(errs.ErrUnavailable, "see that the broker runs and has CPU time left: it accepts connections and does not answer in time")
	}
	return fail(errs.ErrUnavailable, "start `nats-server -js`, or correct --nats")
}
