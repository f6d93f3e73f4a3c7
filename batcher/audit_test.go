package batcher

import (
	"testing"

	"resslt/schemas"
)

// A trainer that makes chunks again takes those of honest workers, and of a liar none
// that the lot falls on.
func TestAuditor(t *testing.T) {
	_, js := launch(t, embedded(false)).connect(t)
	spec := testSpec()
	open := func(name string, salt byte, every int64) (*Stream, *Auditor, *hashSource) {
		t.Helper()
		run, err := OpenRun(t.Context(), js, name, spec, RunOptions{})
		if err != nil {
			t.Fatal(err)
		}
		startWorker(t, js, &hashSource{salt: salt}, WorkerOptions{Workers: 2}, name)
		own := &hashSource{spec: spec}
		own.open.Add(1)
		a, err := NewAuditor(&spec, own, every)
		if err != nil {
			t.Fatal(err)
		}
		return openStream(t, run, StreamOptions{Record: a}), a, own
	}
	s, a, own := open("honest", 0, 2)
	equal(t, take(t, s, spec.Steps()), want(t, spec, own, 0, spec.Steps()))
	if n := a.Audited(); n < 5 || n > 31 { // of 36, half
		t.Errorf("%d chunks were made again", n)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil || own.open.Load() != 0 {
		t.Errorf("%d sources and makers are open, %v", own.open.Load(), err)
	}

	s, _, _ = open("liar", 1, 1)
	_, err := s.Next(t.Context())
	wantErr(t, err, schemas.ErrDeterminism, "of step 0", "made here", "resslt status")
	if s.Stats().DigestMismatches != 1 || s.Stats().Next != 0 {
		t.Errorf("%+v", s.Stats())
	}

	_, err = NewAuditor(&spec, &hashSource{}, 0)
	wantErr(t, err, schemas.ErrUsage, "1 or more")
}
