package link

import (
	"errors"
	"strings"
	"time"

	"resslt/schemas/errs"

	"github.com/nats-io/nats.go"
)

// Refusal gives what the broker last refused to do for a connection, nil where it
// refused nothing. The broker says so on the side: the request itself goes without
// an answer.
func Refusal(nc *nats.Conn) error {
	if err := nc.LastError(); errors.Is(err, nats.ErrPermissionViolation) {
		return denied{err}
	}
	return nil
}

// Refused is refusal for one subject.
func Refused(nc *nats.Conn, subject string) error {
	if err := Refusal(nc); err != nil && strings.Contains(err.Error(), `"`+subject+`"`) {
		return err
	}
	return nil
}

// denied is the broker's own text, without the client's words before it. It names
// operation and subject.
type denied struct{ err error }

func (d denied) Error() string {
	return strings.TrimPrefix(d.err.Error(), nats.ErrPermissionViolation.Error()+": ")
}
func (d denied) Unwrap() error { return d.err }

// Violation is a permission violation that the broker reports, in its own text.
func Violation(err error) error { return denied{err} }

// Denial wraps a refusal.
func Denial(op, where string, err error) error {
	return errs.New(op, where, "connect with the credentials of the role that may do this", errs.BecauseErr(errs.ErrDenied, err))
}

// BrokerName is what errors call the broker of a connection, which need not be up.
func BrokerName(nc *nats.Conn) string {
	if nc.Opts.InProcessServer != nil {
		return "in this process"
	}
	return RedactURLs(strings.Join(nc.Opts.Servers, ","))
}

// RedactURLs hides the passwords and tokens that comma-separated URLs carry.
func RedactURLs(list string) string {
	urls := strings.Split(list, ",")
	for i, s := range urls {
		scheme, rest, ok := strings.Cut(strings.TrimSpace(s), "://")
		if !ok {
			scheme, rest = "nats", scheme // nats.go takes host:port, too
		}
		if at := strings.LastIndexByte(rest, '@'); at >= 0 {
			rest = "..." + rest[at:]
		}
		urls[i] = scheme + "://" + rest
	}
	return strings.Join(urls, ",")
}

// APITimeout bounds one request to the broker whose context has no deadline.
const APITimeout = 5 * time.Second
