package wire

import (
	"testing"

	"resslt/batcher/internal/fixture"
	"resslt/schemas"
)

func BenchmarkDigest(b *testing.B) {
	body := make([]byte, schemas.TargetChunkBytes)
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		Digest(body)
	}
}

func BenchmarkEncode(b *testing.B) {
	spec := fixture.LargeSpec()
	c := NewChunk(&spec)
	c.Reset(&spec, 0, 0)
	enc := NewEncoder(&spec)
	for b.Loop() {
		body, err := enc.Encode(c)
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(int64(len(body)))
	}
}

// BenchmarkDecode parses without the digest, which BenchmarkDigest measures.
func BenchmarkDecode(b *testing.B) {
	spec := fixture.LargeSpec()
	c := NewChunk(&spec)
	c.Reset(&spec, 0, 0)
	body, err := NewEncoder(&spec).Encode(c)
	if err != nil {
		b.Fatal(err)
	}
	dec, err := NewDecoder(&spec)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if err := dec.fill(&Chunk{}, body); err != nil {
			b.Fatal(err)
		}
	}
}
