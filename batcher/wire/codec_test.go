package wire

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"resslt/schemas/errs/errstest"

	"resslt/batcher/internal/fixture"
	"resslt/schemas"
	"resslt/schemas/errs"

	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/ipc"
	"github.com/nats-io/nats.go"
)

// madeChunk is a chunk as a worker would make it.
func madeChunk(t testing.TB, spec *schemas.RunSpec, step int64, index int) *Chunk {
	t.Helper()
	c := NewChunk(spec)
	c.Reset(spec, step, index)
	for i, row := range NewTask(spec, fixture.StrideOrder{N: spec.Dataset.Samples}, step, index).Rows {
		c.Samples[i], c.Planned[i], c.Labels[i] = row.Sample, row.Sample, int32(row.Sample%10)
		for v, view := range spec.Views {
			for k := range view.Bytes() {
				c.Pixels[v][i*view.Bytes()+k] = fixture.PixelByte(row.Epoch, row.Sample, v) + byte(k)
			}
			c.Plans[v][i] = fmt.Appendf(nil, "plan %d/%d/%d", row.Epoch, row.Sample, v)
		}
	}
	return c
}

func chunkMsg(t testing.TB, spec *schemas.RunSpec, c *Chunk) *nats.Msg {
	t.Helper()
	body, err := NewEncoder(spec).Encode(c)
	if err != nil {
		t.Fatal(err)
	}
	return ChunkMessage("r", spec.Digest(), c.Step, c.Index, body, "", "w")
}

// Encode and Decode are inverse, equal rows give equal bytes, and any Arrow reader
// reads them.
func TestChunkRoundTrip(t *testing.T) {
	spec := fixture.Spec()
	dec, err := NewDecoder(&spec)
	if err != nil {
		t.Fatal(err)
	}
	enc := NewEncoder(&spec)
	for index := range spec.Chunks() {
		c := madeChunk(t, &spec, 5, index)
		c.Samples[1], c.Reasons[1] = (c.Samples[1]+1)%spec.Dataset.Samples, "corrupt: not an image"
		msg := chunkMsg(t, &spec, c)
		if len(msg.Data) > spec.MaxChunkBytes() {
			t.Errorf("%d bytes, cap %d", len(msg.Data), spec.MaxChunkBytes())
		}
		again, err := enc.Encode(c)
		if err != nil || !bytes.Equal(again, msg.Data) {
			t.Fatalf("another encoder gives other bytes, %v", err)
		}
		got, err := dec.Decode(msg)
		if err != nil {
			t.Fatal(err)
		}
		if got.Step != 5 || got.Index != index || got.Rows() != c.Rows() || got.Reasons[1] != c.Reasons[1] || got.Digest != Digest(msg.Data) {
			t.Errorf("chunk %d came back as %+v", index, got)
		}
		for v := range spec.Views {
			if !bytes.Equal(got.Pixels[v], c.Pixels[v]) || !bytes.Equal(got.Plans[v][1], c.Plans[v][1]) {
				t.Errorf("view %d of chunk %d differs", v, index)
			}
		}
		r, err := ipc.NewReader(bytes.NewReader(msg.Data))
		if err != nil {
			t.Fatal(err)
		}
		if !r.Next() {
			t.Fatal(r.Err())
		}
		if !r.Schema().Equal(schemas.ViewBatchSchema(spec.Views)) ||
			!bytes.Equal(r.Record().Column(schemas.PixelsColumn(1)).(*array.FixedSizeBinary).Value(1), c.Pixels[1][108:216]) ||
			r.Record().Column(schemas.ColReason).(*array.String).Value(1) != c.Reasons[1] {
			t.Errorf("Arrow's reader sees other values")
		}
		r.Release()
	}
}

// What does not fit is refused by kind, and says what.
func TestDecodeRefuses(t *testing.T) {
	spec := fixture.Spec()
	dec, err := NewDecoder(&spec)
	if err != nil {
		t.Fatal(err)
	}
	other := fixture.Spec()
	other.Views = []schemas.ViewSpec{{Name: "weak", Role: schemas.Teacher, Size: 8}, {Name: "strong", Role: schemas.Student, Size: 7}}
	seal := func(m *nats.Msg) { m.Header.Set(schemas.HeaderDigest, Digest(m.Data)) }
	for _, tc := range []struct {
		name   string
		kind   error
		text   string
		change func(m *nats.Msg)
	}{
		{"too large", errs.ErrTooLarge, "over the", func(m *nats.Msg) { m.Data = make([]byte, spec.MaxChunkBytes()+1); seal(m) }},
		{"no spec", errs.ErrMismatch, "made for spec", func(m *nats.Msg) { m.Header.Del(schemas.HeaderSpec) }},
		{"other spec", errs.ErrMismatch, "made for spec", func(m *nats.Msg) { m.Header.Set(schemas.HeaderSpec, other.Digest()) }},
		{"bit flip", errs.ErrCorrupt, "SHA-256", func(m *nats.Msg) { m.Data[len(m.Data)/2] ^= 4 }},
		{"no digest", errs.ErrCorrupt, "SHA-256", func(m *nats.Msg) { m.Header.Del(schemas.HeaderDigest) }},
		{"other schema", errs.ErrMismatch, "schema", func(m *nats.Msg) { m.Data = chunkMsg(t, &other, madeChunk(t, &other, 0, 0)).Data; seal(m) }},
		{"empty", errs.ErrMismatch, "schema", func(m *nats.Msg) { m.Data = nil; seal(m) }},
		{"cut", errs.ErrCorrupt, "end mark", func(m *nats.Msg) { m.Data = m.Data[:len(m.Data)-9]; seal(m) }},
		{"other chunk", errs.ErrCorrupt, "slot 0 instead of 4", func(m *nats.Msg) { m.Subject = schemas.ChunkSubject("r", 0, 1) }},
		{"shorter chunk", errs.ErrCorrupt, "4 rows instead of 2", func(m *nats.Msg) { m.Subject = schemas.ChunkSubject("r", 0, 2) }},
		{"no such chunk", errs.ErrCorrupt, "no such", func(m *nats.Msg) { m.Subject = schemas.ChunkSubject("r", 0, 3) }},
		{"no such step", errs.ErrCorrupt, "no such", func(m *nats.Msg) { m.Subject = schemas.ChunkSubject("r", 12, 0) }},
		{"subject", errs.ErrCorrupt, "parse subject", func(m *nats.Msg) { m.Subject = "b.r.x.0" }},
		{"sample", errs.ErrCorrupt, "outside the data set", func(m *nats.Msg) {
			c := madeChunk(t, &spec, 0, 0)
			c.Samples[2] = 47
			m.Data = chunkMsg(t, &spec, c).Data
			seal(m)
		}},
		{"no reason", errs.ErrCorrupt, "without a reason", func(m *nats.Msg) {
			c := madeChunk(t, &spec, 0, 0)
			c.Samples[2] = c.Planned[3]
			m.Data = chunkMsg(t, &spec, c).Data
			seal(m)
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := chunkMsg(t, &spec, madeChunk(t, &spec, 0, 0))
			tc.change(m)
			_, err := dec.Decode(m)
			errstest.Want(t, err, tc.kind, tc.text)
		})
	}
}

// parseAll runs the parser behind the digest check, which a forger passes, and
// reads every byte that it vouches for.
func parseAll(dec *Decoder, body []byte) error {
	c := &Chunk{Index: 0}
	if err := dec.fill(c, body); err != nil {
		return err
	}
	sum := 0
	for v := range c.Pixels {
		for _, b := range c.Pixels[v] {
			sum += int(b)
		}
		for _, p := range c.Plans[v] {
			sum += len(p)
		}
	}
	return nil
}

// No single flipped bit and no cut makes the parser crash, and its allocations
// stay bounded whatever the bytes ask for.
func TestParserWithoutDigest(t *testing.T) {
	spec := fixture.Spec()
	dec, err := NewDecoder(&spec)
	if err != nil {
		t.Fatal(err)
	}
	body := bytes.Clone(chunkMsg(t, &spec, madeChunk(t, &spec, 0, 0)).Data)
	if err := parseAll(dec, body); err != nil {
		t.Fatal(err)
	}
	prefix := len(dec.layout.Prefix())
	for cut := range body {
		if parseAll(dec, body[:cut]) == nil {
			t.Fatalf("cut at %d of %d passes", cut, len(body))
		}
	}
	for i := 0; i < prefix+1200 && i < len(body); i++ { // schema and batch metadata
		for bit := range 8 {
			body[i] ^= 1 << bit
			err := parseAll(dec, body)
			if i < prefix && err == nil {
				t.Fatalf("bit %d of schema byte %d passes", bit, i)
			}
			body[i] ^= 1 << bit
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	meta := body[prefix:]
	metaLen := int(binary.LittleEndian.Uint32(meta[4:]))
	for range 20000 {
		b := bytes.Clone(body)
		for range 1 + r.IntN(4) { // whole words, as wild as can be
			at := prefix + 8 + 4*r.IntN(metaLen/4)
			binary.LittleEndian.PutUint32(b[at:], [...]uint32{0, 0xFFFFFFFF, 0x7FFFFFFF, 0x80000000, r.Uint32()}[r.IntN(5)])
		}
		_ = parseAll(dec, b)
	}
	huge := bytes.Clone(body)
	for i := prefix + 8; i < prefix+8+metaLen; i += 8 {
		copy(huge[i:], []byte{0, 0, 0, 0, 0, 1, 0, 0}) // 1 TiB wherever a length stands
		if n := testing.AllocsPerRun(1, func() { _ = parseAll(dec, huge) }); n > 200 {
			t.Fatalf("%v allocations", n)
		}
		copy(huge[i:], body[i:i+8])
	}
}

func FuzzDecode(f *testing.F) {
	spec := fixture.Spec()
	dec, err := NewDecoder(&spec)
	if err != nil {
		f.Fatal(err)
	}
	body := chunkMsg(f, &spec, madeChunk(f, &spec, 0, 0)).Data
	f.Add(body)
	f.Add(body[:len(dec.layout.Prefix())+100])
	f.Fuzz(func(t *testing.T, b []byte) {
		_ = parseAll(dec, b)
		m := ChunkMessage("r", spec.Digest(), 0, 0, b, "", "w")
		if c, err := dec.Decode(m); err == nil && c.Rows() != 4 {
			t.Errorf("%d rows", c.Rows())
		}
	})
}

func TestTaskRoundTrip(t *testing.T) {
	spec := fixture.Spec()
	order := fixture.StrideOrder{N: spec.Dataset.Samples}
	for step := range spec.Steps() {
		for c := range spec.Chunks() {
			task := NewTask(&spec, order, step, c)
			m, err := EncodeTask("r", spec.Digest(), task)
			if err != nil {
				t.Fatal(err)
			}
			got, err := DecodeTask(&spec, spec.Digest(), m.Subject, m.Header, m.Data)
			if err != nil {
				t.Fatal(err)
			}
			if got.Step != step || got.Chunk != c || len(got.Rows) != len(task.Rows) || got.Rows[1] != task.Rows[1] {
				t.Fatalf("%+v, want %+v", got, task)
			}
		}
	}
	m, err := EncodeTask("r", spec.Digest(), NewTask(&spec, order, 1, 0))
	if err != nil {
		t.Fatal(err)
	}
	_, err = DecodeTask(&spec, "other", m.Subject, m.Header, m.Data)
	errstest.Want(t, err, errs.ErrMismatch)
	_, err = DecodeTask(&spec, spec.Digest(), schemas.TaskSubject("r", 2, 0), m.Header, m.Data)
	errstest.Want(t, err, errs.ErrCorrupt, "asks for")
	_, err = DecodeTask(&spec, spec.Digest(), m.Subject, m.Header, m.Data[:50])
	errstest.Want(t, err, errs.ErrCorrupt)
	_, err = DecodeTask(&spec, spec.Digest(), m.Subject, m.Header, make([]byte, 1<<20))
	errstest.Want(t, err, errs.ErrTooLarge)
}
