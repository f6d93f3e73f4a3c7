package schemas

import (
	"errors"
	"fmt"

	"resslt/schemas/bounded"
	"resslt/schemas/errs"
)

// RunInfo is what CTRL_<run> holds under SpecSubject: the spec, and what helps
// a worker to find the data, which is no part of the digest. The newest DataURI
// is kept under OptionsSubject, since the record itself is written once.
type RunInfo struct {
	Spec    RunSpec `json:"spec"`
	Digest  string  `json:"digest"` // Spec.Digest()
	DataURI string  `json:"data_uri"`

	// Data is what is known of the data besides, for replays that have no need of it; nil
	// where it is not known, and in a run's own record, next to which the manifest is kept.
	Data *RunData `json:"data,omitempty"`
}

// RunData describes a run's data for people.
type RunData struct {
	Classes    int    `json:"classes"`     // named ones
	PassedOver Survey `json:"passed_over"` // by the data's reader; null where it is not known
	// Sets are the names of a mixture's sets, in the order of the spec's Mix.
	Sets []string `json:"sets,omitempty"`
}

// ParseRunInfo reads a RunInfo that came over the wire or from a file, and checks it. It
// returns ErrTooLarge, ErrCorrupt, ErrMismatch, or ErrUnsupported for one of another version
// or with a field that this build does not know.
func ParseRunInfo(raw []byte) (*RunInfo, error) {
	if len(raw) > MaxRunInfo {
		return nil, errs.New("run info", "", "see who wrote it", errs.Because(errs.ErrTooLarge, fmt.Sprintf("%d bytes, over %d", len(raw), MaxRunInfo)))
	}
	r := new(RunInfo)
	if err := bounded.StrictJSON(raw, r); err != nil {
		if errors.Is(err, errs.ErrUnsupported) {
			return nil, errs.New("run info", "", "use the build that made it, or a newer one", err)
		}
		return nil, errs.New("run info", "", "see who wrote it", errs.BecauseErr(errs.ErrCorrupt, err))
	}
	return r, r.Check()
}

// Check compares the info's digest with its spec, and validates the spec. Its error wraps
// ErrMismatch, ErrUnsupported, or, for a spec that Validate refuses, ErrTooLarge or
// ErrCorrupt: whoever reads it did not write it.
func (r *RunInfo) Check() error {
	if r.Spec.Version == SpecVersion {
		if got := r.Spec.Digest(); got != r.Digest {
			return errs.New("run info", fmt.Sprintf("digest %.12s", r.Digest),
				"use the same build on every machine", errs.Because(errs.ErrMismatch, fmt.Sprintf("its spec has digest %.12s", got)))
		}
	}
	if len(r.DataURI) > MaxDataURI {
		return errs.New("run info", "data_uri", fmt.Sprintf("give at most %d bytes", MaxDataURI),
			errs.Because(errs.ErrTooLarge, fmt.Sprintf("has %d bytes", len(r.DataURI))))
	}
	return r.Spec.validate(errs.ErrCorrupt, errs.ErrTooLarge)
}
