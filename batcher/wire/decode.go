package wire

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/nats-io/nats.go"

	"resslt/batcher/internal/layout"
	"resslt/schemas"
	"resslt/schemas/errs"
)

// Decoder reads chunks of one run from bytes that nobody vouches for. It is safe
// for concurrent use: it holds nothing that changes.
type Decoder struct {
	spec   *schemas.RunSpec
	digest string // of spec
	layout *layout.Layout
	cap    int
}

// NewDecoder makes a decoder for the run's chunks.
func NewDecoder(spec *schemas.RunSpec) (*Decoder, error) {
	l, err := layout.New(schemas.ViewBatchSchema(spec.Views))
	if err != nil {
		return nil, err
	}
	return &Decoder{spec: spec, digest: spec.Digest(), layout: l, cap: spec.MaxChunkBytes()}, nil
}

// ErrBodyDigest is of a chunk whose body is not what was published, by its own header.
var ErrBodyDigest = errors.New("body and digest differ")

// Decode reads a message of BATCH_<run>. The chunk's pixels and plans are parts of
// msg.Data, which must not change while the chunk is used.
//
// The checks come in an order in which none relies on bytes that a later one
// vouches for: size cap, spec digest, SHA-256 of the body, schema message byte for
// byte, and only then the record batch. It returns ErrTooLarge, ErrMismatch
// (another spec or schema) or ErrCorrupt.
func (d *Decoder) Decode(msg *nats.Msg) (*Chunk, error) {
	fail := func(hint string, err error) (*Chunk, error) {
		return nil, errs.New("decode chunk", msg.Subject, hint, err)
	}
	if len(msg.Data) > d.cap {
		return fail("see who publishes to this subject", errs.Because(errs.ErrTooLarge,
			fmt.Sprintf("%d bytes, over the %d that a chunk of this run can have", len(msg.Data), d.cap)))
	}
	_, step, index, err := schemas.ParseStepSubject(msg.Subject)
	if err != nil {
		return nil, err
	}
	if step >= d.spec.Steps() || index >= d.spec.Chunks() {
		return fail("see who publishes to this subject", errs.Because(errs.ErrCorrupt, "the run has no such step or chunk"))
	}
	if got := msg.Header.Get(schemas.HeaderSpec); got != d.digest {
		return fail("stop workers of an earlier run of this name", errs.Because(errs.ErrMismatch,
			fmt.Sprintf("it was made for spec %.12q, this run has %.12q", got, d.digest)))
	}
	if IsHeld(msg.Header) {
		return fail("read the run in the process that makes it", errs.Because(errs.ErrUnsupported, "its rows are not in the broker"))
	}
	sum := Digest(msg.Data)
	if got := msg.Header.Get(schemas.HeaderDigest); got != sum {
		return fail("it will be requested again", errs.BecauseErr(errs.ErrCorrupt,
			fmt.Errorf("%w: SHA-256 %.12s, the header says %.12q", ErrBodyDigest, sum, got)))
	}
	c := &Chunk{Step: step, Index: index, Digest: sum}
	if worker := msg.Header.Get(schemas.HeaderWorker); worker != "" {
		c.Worker = ReasonLine(worker)
	}
	if msg.Header.Get(schemas.HeaderTombstone) != "" {
		c.Tombstone = ReasonLine(string(msg.Data[:min(len(msg.Data), schemas.MaxReasonBytes)]))
		return c, nil
	}
	if err := d.fill(c, msg.Data); err != nil {
		return fail("it will be requested again; see that workers and trainer are of the same build", err)
	}
	return c, nil
}

func (d *Decoder) fill(c *Chunk, body []byte) error {
	lo, hi := d.spec.ChunkRange(c.Index)
	n := hi - lo
	bufs, err := d.layout.Parse(body, n)
	if err != nil {
		return err
	}
	// bufs: slot, sample, label, planned, reason offsets, reason data, then
	// pixels, plan offsets, plan data of each view.
	c.Slots, c.Samples = layout.Int32s(bufs[0]), layout.Int64s(bufs[1])
	c.Labels, c.Planned = layout.Int32s(bufs[2]), layout.Int64s(bufs[3])
	c.Reasons = make([]string, n)
	for i, r := range layout.Slices(bufs[4], bufs[5]) {
		c.Reasons[i] = string(r)
	}
	c.Pixels = make([][]byte, len(d.spec.Views))
	c.Plans = make([][][]byte, len(d.spec.Views))
	for v := range d.spec.Views {
		c.Pixels[v] = bufs[6+3*v]
		c.Plans[v] = layout.Slices(bufs[7+3*v], bufs[8+3*v])
	}
	return c.Check(d.spec)
}

// Check reports whether the rows of a chunk that came from outside can be the spec's, but
// for pixels and the plans' contents; columns are of equal length. It returns
// ErrCorrupt.
func (c *Chunk) Check(spec *schemas.RunSpec) error {
	bad := func(format string, a ...any) error {
		return errs.Because(errs.ErrCorrupt, fmt.Sprintf(format, a...))
	}
	if c.Step < 0 || c.Step >= spec.Steps() || c.Index < 0 || c.Index >= spec.Chunks() {
		return bad("the run has no such step or chunk")
	}
	lo, hi := spec.ChunkRange(c.Index)
	if c.Rows() != hi-lo {
		return bad("%d rows instead of %d", c.Rows(), hi-lo)
	}
	for i, s := range c.Slots {
		// Slots stand in the chunk's range in rising order, so they are unique.
		if int(s) != lo+i {
			return bad("row %d has slot %d instead of %d", i, s, lo+i)
		}
		if !spec.Dataset.HasID(c.Samples[i]) || !spec.Dataset.HasID(c.Planned[i]) {
			return bad("row %d has a sample outside the data set", i)
		}
		r := c.Reasons[i]
		if len(r) > schemas.MaxReasonBytes || !utf8.ValidString(r) {
			return bad("row %d has a reason of %d bytes", i, len(r))
		}
		if replaced := c.Samples[i] != c.Planned[i]; replaced != (r != "") {
			return bad("row %d is replaced without a reason, or has one and is not", i)
		}
		for v := range c.Plans {
			if n := len(c.Plans[v][i]); n > schemas.MaxPlanBytes {
				return bad("row %d has a plan of %d bytes", i, n)
			}
		}
	}
	return nil
}
