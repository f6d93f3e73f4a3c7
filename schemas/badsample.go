package schemas

import (
	"errors"

	"resslt/schemas/errs"
)

// BadSample is the one error for which a sample is replaced: no machine can use its
// bytes, whatever it tries. Every other error, whatever sentinel it wraps, is a fault of a
// store or of a machine: it is tried again, elsewhere too, and stops the run in the end.
//
// Two places make one, both from what is equal on every machine: package augment, where a
// decoder refuses the bytes, and package ingest, where the index has a size above its cap.
// TestWhoMakesBadSamples looks for others. A sentinel alone never makes one: a server's
// answer and a damaged file are "unsupported" and "corrupt", too.
type BadSample struct{ reason error }

// NewBadSample is the error of op on the sample key, with the hint for its owner. reason
// is recorded in chunks, and so is the same on every machine: it names no path. It wraps
// errs.ErrCorrupt, ErrTooLarge or ErrUnsupported.
func NewBadSample(op, key, hint string, reason error) error {
	return errs.New(op, key, hint, &BadSample{reason})
}

// AsBadSample finds the bad sample that err reports; nil where it reports a fault.
func AsBadSample(err error) *BadSample {
	var bad *BadSample
	if errors.As(err, &bad) && bad.reason != nil {
		return bad
	}
	return nil
}

// Error is the reason alone, the same on every machine.
func (b *BadSample) Error() string { return b.reason.Error() }

// Unwrap returns the reason.
func (b *BadSample) Unwrap() error { return b.reason }
