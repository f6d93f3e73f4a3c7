package store

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"resslt/schemas/errs"
)

// A server that is asked for a range may answer with another one, with all of the file,
// or with another file. span says which bytes an answer claims to be.
type span struct {
	first, end int64 // the bytes [first, end) of the file
	total      int64 // the file's size; -1: not said
}

// cutBytes is how far into a whole file a range is cut from it, where a server ignores
// ranges. Further in, another try is cheaper: servers that always do are the fewer.
const cutBytes = 8 << 20

// parseContentRange parses "bytes 5-9/100" or "bytes 5-9/*".
func parseContentRange(s string) (p span, ok bool) {
	rest, ok := strings.CutPrefix(strings.TrimSpace(s), "bytes")
	bytes, total, cut := strings.Cut(strings.TrimSpace(rest), "/")
	first, last, dash := strings.Cut(bytes, "-")
	if !ok || !cut || !dash {
		return p, false
	}
	number := func(s string) int64 {
		v, err := strconv.ParseUint(strings.TrimSpace(s), 10, 62)
		if err != nil {
			ok = false
		}
		return int64(v)
	}
	p.first, p.end, p.total = number(first), number(last)+1, -1
	if total = strings.TrimSpace(total); total != "*" {
		p.total = number(total)
	}
	return p, ok && p.first < p.end && (p.total < 0 || p.end <= p.total)
}

// spanOf is the span of an answer: of its Content-Range, or the whole file without one.
// length is its Content-Length, -1 for none.
func spanOf(contentRange string, length int64) (span, error) {
	if contentRange == "" {
		return span{end: length, total: length}, nil
	}
	p, ok := parseContentRange(contentRange)
	if !ok {
		return p, unfit(fmt.Sprintf("the server answers with Content-Range %.60q", contentRange))
	}
	if length >= 0 && length != p.end-p.first {
		return p, unfit(fmt.Sprintf("the server announces %d bytes for the range %.60q", length, contentRange))
	}
	return p, nil
}

// cut is how many bytes of the answer precede byte off of a file of so many bytes. An
// answer that does not hold byte off, or is of a file of another size, is an error. It may
// end before what was asked for: then the rest is asked for next.
func (p span) cut(off, size int64) (int64, error) {
	switch {
	case p.total >= 0 && p.total != size:
		return 0, changed(fmt.Sprintf("it has %d bytes, had %d", p.total, size))
	case p.total < 0 && p.end < 0:
		return 0, unfit("the server ignores the range, and does not say how long the file is")
	case off < p.first || off >= p.end:
		return 0, unfit(fmt.Sprintf("the server answers with bytes %d to %d, byte %d was asked for", p.first, p.end-1, off))
	case off-p.first > cutBytes:
		return 0, noRanges
	}
	return off - p.first, nil
}

// unfit is the error of an answer that is no part of the file that was asked for. Another
// try may meet another server.
func unfit(how string) error { return errs.Because(errs.ErrUnavailable, how) }

var noRanges = errs.New("", "", "use a server that serves ranges, give the cache room for the files (--cache-bytes), or download them",
	errs.Because(errs.ErrUnsupported, "the server does not serve ranges"))

// skipper reads r without its first bytes. A Read may return none, so that whoever watches
// the connection sees that it is alive.
type skipper struct {
	io.ReadCloser
	skip int64
}

func (s *skipper) Read(p []byte) (int, error) {
	n, err := s.ReadCloser.Read(p)
	gone := min(s.skip, int64(n))
	s.skip -= gone
	return copy(p, p[gone:n]), err
}

// later is a failure of a server that says when to come again.
type later struct {
	error
	after time.Duration
}

func (l later) Unwrap() error { return l.error }

// maxRetryAfter bounds what a server may ask for.
const maxRetryAfter = time.Minute

// retryAfter adds to err what a Retry-After header says: seconds, or a date.
func retryAfter(err error, header string, now time.Time) error {
	if header == "" {
		return err
	}
	if s, perr := strconv.ParseUint(strings.TrimSpace(header), 10, 31); perr == nil {
		return later{err, min(time.Duration(s)*time.Second, maxRetryAfter)}
	}
	if at, perr := time.Parse(time.RFC1123, header); perr == nil && at.After(now) {
		return later{err, min(at.Sub(now), maxRetryAfter)}
	}
	return err
}
