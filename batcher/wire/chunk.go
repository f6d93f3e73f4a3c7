package wire

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"unicode/utf8"

	"resslt/schemas"
)

// Chunk is a run of slots of one step: the unit of work and of transport. Columns
// have one entry a row. A chunk with Tombstone has no rows.
type Chunk struct {
	Step  int64
	Index int // of the chunk in its step

	Slots   []int32  // row of the training batch
	Samples []int64  // sample whose pixels these are
	Labels  []int32  // its class, or schemas.NoLabel
	Planned []int64  // sample that the order has there
	Reasons []string // why it was replaced; "" where it was not

	Pixels [][]byte   // per view (rows,S,S,3) uint8; of a decoded chunk: a part of the message
	Plans  [][][]byte // per view, per row: augment's plan

	// Tombstone says, in a line, why the chunk could not be produced; "" if it was.
	Tombstone string
	// Digest is the hex SHA-256 of the encoded body; set by Decode.
	Digest string
	// Worker is who made the chunk, by the message's own claim, which nobody vouches
	// for; set by Decode, "" where it does not say.
	Worker string
}

// NewChunk allocates a chunk of the run that holds as many rows as any of its
// chunks; Reset gives it step and index.
func NewChunk(spec *schemas.RunSpec) *Chunk {
	n := spec.ChunkSamples
	c := &Chunk{
		Slots: make([]int32, n), Samples: make([]int64, n), Labels: make([]int32, n),
		Planned: make([]int64, n), Reasons: make([]string, n),
		Pixels: make([][]byte, len(spec.Views)), Plans: make([][][]byte, len(spec.Views)),
	}
	for v, view := range spec.Views {
		c.Pixels[v] = make([]byte, n*view.Bytes())
		c.Plans[v] = make([][]byte, n)
	}
	return c
}

// Rows is the number of samples that the chunk holds.
func (c *Chunk) Rows() int { return len(c.Slots) }

// PixelBytes is the number of bytes of the chunk's pixels.
func (c *Chunk) PixelBytes() (n int64) {
	for _, p := range c.Pixels {
		n += int64(len(p))
	}
	return n
}

// Reset makes the chunk the index-th of step, with all rows that the spec gives
// it; the rows' contents are left from before.
func (c *Chunk) Reset(spec *schemas.RunSpec, step int64, index int) {
	lo, hi := spec.ChunkRange(index)
	n := hi - lo
	c.Step, c.Index, c.Tombstone, c.Digest, c.Worker = step, index, "", "", ""
	c.Slots, c.Samples, c.Labels = c.Slots[:n], c.Samples[:n], c.Labels[:n]
	c.Planned, c.Reasons = c.Planned[:n], c.Reasons[:n]
	for v, view := range spec.Views {
		c.Pixels[v] = c.Pixels[v][:n*view.Bytes()]
		c.Plans[v] = c.Plans[v][:n]
	}
	for i := range c.Slots {
		c.Slots[i] = int32(lo + i)
	}
}

// Digest is the hex SHA-256 of body.
func Digest(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

// ReasonLine makes s fit a reason: one line of valid UTF-8, schemas.MaxReasonBytes at most.
func ReasonLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == utf8.RuneError {
			return ' '
		}
		return r
	}, s)
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > schemas.MaxReasonBytes {
		s = s[:schemas.MaxReasonBytes]
		for !utf8.ValidString(s) {
			s = s[:len(s)-1]
		}
	}
	if s == "" {
		s = "no reason was given"
	}
	return s
}
