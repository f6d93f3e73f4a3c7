package wire

import (
	"testing"

	"resslt/batcher/internal/fixture"
	"resslt/schemas"

	"github.com/nats-io/nats.go"
)

// FuzzMessage gives decoder and task reader whole messages of a stranger's: subject,
// headers and body. Whatever is taken for good lies within the run.
func FuzzMessage(f *testing.F) {
	spec := fixture.Spec()
	dec, err := NewDecoder(&spec)
	if err != nil {
		f.Fatal(err)
	}
	chunk := chunkMsg(f, &spec, madeChunk(f, &spec, 0, 0))
	task, err := EncodeTask("r", spec.Digest(), NewTask(&spec, fixture.StrideOrder{N: spec.Dataset.Samples}, 1, 2))
	if err != nil {
		f.Fatal(err)
	}
	for _, m := range []*nats.Msg{chunk, task} {
		f.Add(m.Subject, m.Header.Get(schemas.HeaderSpec), "", "w", m.Data, true)
		f.Add(m.Subject, m.Header.Get(schemas.HeaderSpec), "it cannot be made", "w\r\n", []byte("it cannot be made"), true)
		f.Add(m.Subject+".9", "", "", "", m.Data, false)
	}
	f.Add("b.r.-1.0", spec.Digest(), "\x00", "", []byte(nil), true)
	f.Add("b.r.9223372036854775807.2147483647", spec.Digest(), "", "", []byte("x"), true)
	f.Fuzz(func(t *testing.T, subject, specDigest, tombstone, worker string, body []byte, honest bool) {
		m := &nats.Msg{Subject: subject, Data: body, Header: nats.Header{
			schemas.HeaderSpec: {specDigest}, schemas.HeaderWorker: {worker}, schemas.HeaderDigest: {worker},
		}}
		if honest {
			m.Header.Set(schemas.HeaderDigest, Digest(body))
		}
		if tombstone != "" {
			m.Header.Set(schemas.HeaderTombstone, tombstone)
		}
		if c, err := dec.Decode(m); err == nil {
			if specDigest != spec.Digest() || !honest && worker != Digest(body) {
				t.Error("a chunk of another spec or digest is taken")
			}
			if c.Step < 0 || c.Step >= spec.Steps() || c.Index < 0 || c.Index >= spec.Chunks() {
				t.Errorf("step %d, chunk %d", c.Step, c.Index)
			}
			if len(c.Tombstone) > schemas.MaxReasonBytes {
				t.Errorf("a reason of %d bytes", len(c.Tombstone))
			}
		}
		if k, err := DecodeTask(&spec, spec.Digest(), subject, m.Header, body); err == nil {
			for _, r := range k.Rows {
				if r.Sample < 0 || r.Sample >= spec.Dataset.Samples || r.Slot < 0 || int(r.Slot) >= spec.BatchSize {
					t.Errorf("row %+v", r)
				}
			}
		}
	})
}
