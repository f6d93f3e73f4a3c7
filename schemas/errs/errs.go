package errs

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Sentinels. Every error that leaves a package of resslt matches one of these
// under errors.Is, so that callers decide by kind and never by text.
var (
	// ErrUsage: the user asked for something impossible (exit code 2).
	ErrUsage = errors.New("wrong use")
	// ErrNotFound: a file, folder, run, stream or recipe does not exist.
	ErrNotFound = errors.New("not found")
	// ErrCorrupt: bytes that do not parse as what they claim to be.
	ErrCorrupt = errors.New("corrupt")
	// ErrTooLarge: a size above a limit of the spec, the policy or this build.
	ErrTooLarge = errors.New("too large")
	// ErrUnsupported: well-formed, but outside what this build handles.
	ErrUnsupported = errors.New("unsupported")
	// ErrMismatch: two parties disagree (engine, spec digest, schema, ABI).
	ErrMismatch = errors.New("mismatch")
	// ErrDeterminism: the same task gave two different sets of bytes.
	ErrDeterminism = errors.New("determinism failure")
	// ErrUnavailable: something outside the process is missing (broker, libtorch).
	ErrUnavailable = errors.New("unavailable")
	// ErrDenied: the broker accepted the credentials but not the request.
	ErrDenied = errors.New("denied")
	// ErrTombstone: a chunk or sample could not be made, and the run is to fail then.
	ErrTombstone = errors.New("tombstone")
	// ErrDiverged: the loss or the weights of a training run are not finite.
	ErrDiverged = errors.New("diverged")
	// ErrInterrupted: stopped on request after a checkpoint (exit code 130).
	ErrInterrupted = errors.New("interrupted")
)

// Error is the one error type of resslt: what was being done, to what, what
// went wrong, and how to fix it. It prints as a single line.
type Error struct {
	Op    string // what was being done, as a verb phrase: "open folder", "decode"
	Where string // the thing it was done to: a path, a URI, a sample key, a field
	Hint  string // what to do, an imperative: "install libtorch-dev or set RESSLT_TORCH"; printed where Err has none
	Err   error  // the cause; wraps one of the sentinels
}

// New returns an *Error. err must be a sentinel or wrap one.
func New(op, where, hint string, err error) error {
	return &Error{Op: op, Where: where, Hint: hint, Err: err}
}

// Error formats the error as "op where: cause (hint: hint)", on one line. It has one hint, the
// innermost: who met the fault knows the mend, and who passes it on knows better only if it
// removes that hint (Unhinted).
func (e *Error) Error() string {
	hint := e.Hint
	var b strings.Builder
	b.WriteString(e.Op)
	if e.Where != "" {
		if e.Op != "" {
			b.WriteByte(' ')
		}
		b.WriteString(e.Where)
	}
	if e.Err != nil {
		if b.Len() > 0 {
			b.WriteString(": ")
		}
		cause, inner := CutHint(e.Err.Error())
		b.WriteString(cause)
		hint = cmp.Or(inner, hint)
	}
	return withHint(oneLine(b.String()), oneLine(hint))
}

const hintMark = " (hint: "

func withHint(line, hint string) string {
	if hint == "" {
		return line
	}
	return line + hintMark + hint + ")"
}

// CutHint takes the hints out of an error's text, and returns the first of them: the text may
// have come over the wire, and may be of several errors.
func CutHint(text string) (rest, hint string) {
	for {
		before, after, found := strings.Cut(text, hintMark)
		if !found {
			return text, hint
		}
		end := closing(after)
		hint = cmp.Or(hint, after[:end])
		text = before + after[min(end+1, len(after)):]
	}
}

// Unhinted is err without its hints, for a caller that knows the better one.
func Unhinted(err error) error { return unhinted{err} }

type unhinted struct{ err error }

func (u unhinted) Error() string {
	text, _ := CutHint(u.err.Error())
	return text
}
func (u unhinted) Unwrap() error { return u.err }

// closing is where the bracket ends that text is within; its length where it does not.
func closing(text string) int {
	depth := 1
	for i, c := range []byte(text) {
		switch c {
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return len(text)
}

// OneHint has the text of several errors, on one line, end with the first of their hints.
func OneHint(line string) string { return withHint(CutHint(line)) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Tombstone is the error of a chunk that could not be made, with the worker's reason as it came
// over the wire. Its hint is the reason's, or to fix the data or the workers, and then what.
func Tombstone(op, where, reason, then string) error {
	reason, hint := CutHint(reason)
	return New(op, where, cmp.Or(hint, "fix the data or the workers")+then, Because(ErrTombstone, reason))
}

// Because attaches a detail to a sentinel: Because(ErrCorrupt, "bad magic")
// prints "corrupt: bad magic" and matches ErrCorrupt.
func Because(sentinel error, detail string) error {
	return &because{sentinel: sentinel, detail: detail}
}

// BecauseErr attaches a cause to a sentinel; the result matches both.
func BecauseErr(sentinel, cause error) error {
	if cause == nil {
		return sentinel
	}
	return &because{sentinel: sentinel, detail: cause.Error(), cause: cause}
}

type because struct {
	sentinel error
	detail   string
	cause    error
}

func (b *because) Error() string {
	if b.detail == "" {
		return b.sentinel.Error()
	}
	return b.sentinel.Error() + ": " + b.detail
}

func (b *because) Unwrap() []error {
	if b.cause == nil {
		return []error{b.sentinel}
	}
	return []error{b.sentinel, b.cause}
}

// oneLine folds line breaks, so that a library's multi-line message stays one
// line in a log and on a terminal. Bytes that a terminal would obey or that are no UTF-8,
// as names of files may have, are written as \xHH.
func oneLine(s string) string {
	if strings.ContainsAny(s, "\r\n") {
		s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
	}
	if !strings.ContainsFunc(s, unprintable) {
		return s
	}
	var b strings.Builder
	for i, r := range s {
		switch _, n := utf8.DecodeRuneInString(s[i:]); {
		case r == utf8.RuneError && n == 1, unicode.IsControl(r):
			for _, c := range []byte(s[i : i+n]) {
				fmt.Fprintf(&b, `\x%02x`, c)
			}
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

func unprintable(r rune) bool { return r == utf8.RuneError || unicode.IsControl(r) }
