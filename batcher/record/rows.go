package record

import (
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/apache/arrow/go/v15/arrow"

	"resslt/batcher/internal/layout"
	"resslt/batcher/wire"
	"resslt/schemas"
	"resslt/schemas/errs"
)

// rows are the columns of one record batch of a record's file: whole chunks, one
// after another.
type rows struct {
	step    []int64
	chunk   []int32
	digest  []byte // 32 a row
	slot    []int32
	sample  []int64
	label   []int32
	planned []int64
	reason  []string
	plan    [][][]byte // per view, per row
	pixels  [][]byte   // per view; nil in a log
}

func (r *rows) n() int { return len(r.step) }

func (r *rows) reset(views int) {
	r.step, r.chunk, r.digest, r.slot = r.step[:0], r.chunk[:0], r.digest[:0], r.slot[:0]
	r.sample, r.label, r.planned, r.reason = r.sample[:0], r.label[:0], r.planned[:0], r.reason[:0]
	if r.plan == nil {
		r.plan = make([][][]byte, views)
	}
	for v := range r.plan {
		r.plan[v] = r.plan[v][:0]
	}
	r.pixels = nil
}

// add appends a chunk's rows. Plans and pixels are not copied; the pixels are taken
// where the rows are to have them, and then of one chunk alone.
func (r *rows) add(c *wire.Chunk, pixels bool) error {
	sum, err := hex.DecodeString(c.Digest)
	if err != nil || len(sum) != digestBytes {
		return errs.New("record chunk", fmt.Sprintf("%d of step %d", c.Index, c.Step), "report this as a bug",
			errs.Because(errs.ErrUsage, fmt.Sprintf("its digest is %.12q", c.Digest)))
	}
	for range c.Rows() {
		r.step, r.chunk, r.digest = append(r.step, c.Step), append(r.chunk, int32(c.Index)), append(r.digest, sum...)
	}
	r.slot, r.sample, r.label = append(r.slot, c.Slots...), append(r.sample, c.Samples...), append(r.label, c.Labels...)
	r.planned, r.reason = append(r.planned, c.Planned...), append(r.reason, c.Reasons...)
	for v := range r.plan {
		r.plan[v] = append(r.plan[v], c.Plans[v]...)
	}
	if pixels {
		r.pixels = c.Pixels
	}
	return nil
}

// columns lays the rows out for a writer of the schema.
func (r *rows) columns(spec *schemas.RunSpec) *layout.Columns {
	cols := layout.NewColumns(r.n())
	cols.Int64(r.step)
	cols.Int32(r.chunk)
	cols.Fixed(&arrow.FixedSizeBinaryType{ByteWidth: digestBytes}, r.digest)
	cols.Int32(r.slot)
	cols.Int64(r.sample)
	cols.Int32(r.label)
	cols.Int64(r.planned)
	reasons := new(layout.Var)
	reasons.Reset()
	for _, s := range r.reason {
		reasons.Add([]byte(s))
	}
	cols.Variable(arrow.BinaryTypes.String, reasons)
	for v, view := range spec.Views {
		if r.pixels != nil {
			cols.Fixed(&arrow.FixedSizeBinaryType{ByteWidth: view.Bytes()}, r.pixels[v])
		}
		plans := new(layout.Var)
		plans.Reset()
		for _, p := range r.plan[v] {
			plans.Add(p)
		}
		cols.Variable(arrow.BinaryTypes.Binary, plans)
	}
	return cols
}

// readRows takes the columns of a batch out of its body.
func readRows(b *layout.Batch, body []byte, spec *schemas.RunSpec, pixels bool) (*rows, error) {
	at := 0
	next := func(limit int) (values, data []byte, err error) {
		off, n := b.Range(at)
		values, data, err = b.Column(at, body[off:off+n:off+n], limit)
		at++
		return values, data, err
	}
	var fixed [schemas.RecColReason][]byte
	for i := range fixed {
		var err error
		if fixed[i], _, err = next(0); err != nil {
			return nil, err
		}
	}
	r := &rows{
		step: layout.Int64s(fixed[schemas.RecColStep]), chunk: layout.Int32s(fixed[schemas.RecColChunk]), digest: fixed[schemas.RecColDigest],
		slot: layout.Int32s(fixed[schemas.RecColSlot]), sample: layout.Int64s(fixed[schemas.RecColSample]),
		label: layout.Int32s(fixed[schemas.RecColLabel]), planned: layout.Int64s(fixed[schemas.RecColPlanned]),
		plan: make([][][]byte, len(spec.Views)),
	}
	offsets, data, err := next(schemas.MaxReasonBytes)
	if err != nil {
		return nil, err
	}
	for _, s := range layout.Slices(offsets, data) {
		r.reason = append(r.reason, string(s))
	}
	if pixels {
		r.pixels = make([][]byte, len(spec.Views))
	}
	for v := range spec.Views {
		if pixels {
			if r.pixels[v], _, err = next(0); err != nil {
				return nil, err
			}
		}
		if offsets, data, err = next(schemas.MaxPlanBytes); err != nil {
			return nil, err
		}
		r.plan[v] = layout.Slices(offsets, data)
	}
	return r, nil
}

// chunks cuts the rows into chunks and checks each against the spec. The columns are
// parts of the rows'.
func (r *rows) chunks(spec *schemas.RunSpec) ([]*wire.Chunk, error) {
	var out []*wire.Chunk
	for lo := 0; lo < r.n(); {
		hi := lo + 1
		for hi < r.n() && r.step[hi] == r.step[lo] && r.chunk[hi] == r.chunk[lo] && r.slot[hi] > r.slot[hi-1] {
			hi++
		}
		c := &wire.Chunk{
			Step: r.step[lo], Index: int(r.chunk[lo]), Digest: hex.EncodeToString(r.digest[digestBytes*lo : digestBytes*(lo+1)]),
			Slots: r.slot[lo:hi], Samples: r.sample[lo:hi], Labels: r.label[lo:hi], Planned: r.planned[lo:hi], Reasons: r.reason[lo:hi],
			Plans: make([][][]byte, len(spec.Views)),
		}
		for i := lo; i < hi; i++ {
			if string(r.digest[digestBytes*i:digestBytes*(i+1)]) != string(r.digest[digestBytes*lo:digestBytes*(lo+1)]) {
				return nil, errs.Because(errs.ErrCorrupt, fmt.Sprintf("chunk %d of step %d has two digests", c.Index, c.Step))
			}
		}
		for v := range spec.Views {
			c.Plans[v] = r.plan[v][lo:hi]
		}
		if r.pixels != nil {
			if lo != 0 || hi != r.n() {
				return nil, errs.Because(errs.ErrCorrupt, "a batch of pixels holds more than one chunk")
			}
			c.Pixels = r.pixels
		}
		if err := checkChunk(spec, c); err != nil {
			return nil, err
		}
		out = append(out, c)
		lo = hi
	}
	return out, nil
}

// checkChunk checks the rows of a chunk, and marks a tombstone as one.
func checkChunk(spec *schemas.RunSpec, c *wire.Chunk) error {
	made := *c
	if !slices.Contains(c.Samples, schemas.Unmade) {
		return made.Check(spec)
	}
	// A tombstone's rows name what was planned, and the reason.
	made.Samples, made.Reasons = c.Planned, make([]string, c.Rows())
	if err := made.Check(spec); err != nil {
		return err
	}
	for i, s := range c.Samples {
		if s != schemas.Unmade || c.Reasons[i] == "" || len(c.Reasons[i]) > schemas.MaxReasonBytes || c.Reasons[i] != c.Reasons[0] {
			return errs.Because(errs.ErrCorrupt, fmt.Sprintf("chunk %d of step %d is made in part", c.Index, c.Step))
		}
	}
	c.Tombstone = c.Reasons[0]
	return nil
}

// copyChunk copies what a log keeps of a chunk: all but the pixels.
func copyChunk(c *wire.Chunk) *wire.Chunk {
	out := &wire.Chunk{
		Step: c.Step, Index: c.Index, Digest: c.Digest, Slots: slices.Clone(c.Slots), Samples: slices.Clone(c.Samples),
		Labels: slices.Clone(c.Labels), Planned: slices.Clone(c.Planned), Reasons: slices.Clone(c.Reasons), Plans: make([][][]byte, len(c.Plans)),
	}
	size := 0
	for _, view := range c.Plans {
		for _, p := range view {
			size += len(p)
		}
	}
	buf := make([]byte, 0, size) // one allocation for all plans
	for v, view := range c.Plans {
		out.Plans[v] = make([][]byte, len(view))
		for i, p := range view {
			at := len(buf)
			buf = append(buf, p...)
			out.Plans[v][i] = buf[at:len(buf):len(buf)]
		}
	}
	return out
}
