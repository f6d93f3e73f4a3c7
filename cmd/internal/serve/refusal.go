package serve

import (
	"errors"

	"resslt/schemas/errs"
)

// refusal is an error of which the client is told a kind that no sentinel says.
type refusal struct {
	kind string
	error
}

func (r *refusal) Unwrap() error { return r.error }

// kinds are the names that the protocol has for the sentinels; the first that matches counts.
var kinds = []struct {
	of   error
	name string
}{
	{errs.ErrUsage, "usage"},
	{errs.ErrMismatch, "mismatch"},
	{errs.ErrUnsupported, "mismatch"},
	{errs.ErrDenied, "denied"},
	{errs.ErrNotFound, "not_found"},
	{errs.ErrTombstone, "tombstone"},
	{errs.ErrDeterminism, "determinism"},
	{errs.ErrCorrupt, "corrupt"},
	{errs.ErrTooLarge, "corrupt"},
	{errs.ErrUnavailable, "timeout"},
}

// errorFrame is the body of frame X.
type errorFrame struct {
	Kind  string `json:"kind"`
	Op    string `json:"op"`
	Where string `json:"where"`
	Hint  string `json:"hint"`
	Text  string `json:"text"` // the whole line
}

// describe says an error as a client is told it.
func describe(err error) errorFrame {
	f := errorFrame{Kind: "internal", Text: errs.OneHint(err.Error())}
	_, f.Hint = errs.CutHint(f.Text)
	var known *errs.Error
	if errors.As(err, &known) {
		f.Op, f.Where = known.Op, known.Where
	}
	var r *refusal
	if errors.As(err, &r) {
		f.Kind = r.kind
		return f
	}
	for _, k := range kinds {
		if errors.Is(err, k.of) {
			f.Kind = k.name
			break
		}
	}
	return f
}
