package batcher

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"resslt/schemas"
)

// testSpec is a small run: batches of 10 in chunks of 4, 4 and 2, two views.
func testSpec() schemas.RunSpec {
	return schemas.RunSpec{
		Version: schemas.SpecVersion,
		Dataset: schemas.DatasetSpec{Digest: "d0", Format: "folder", Split: "train", Samples: 47},
		Order:   "global", Policy: "{}", Engine: "hash/1", Seed: 1,
		BatchSize: 10, Epochs: 3, StepsPerEpoch: 4, ChunkSamples: 4, OnError: schemas.Replace,
		Views: []schemas.ViewSpec{{Name: "weak", Role: schemas.Teacher, Size: 8}, {Name: "strong", Role: schemas.Student, Size: 6}},
	}
}

// strideOrder is a permutation of n samples that differs from epoch to epoch.
type strideOrder struct{ N int64 }

func (o strideOrder) At(epoch, index int64) int64 { return (index*5 + epoch*11 + 3) % o.N }

func pixelByte(epoch, sample int64, view int) byte {
	var b [24]byte
	binary.LittleEndian.PutUint64(b[:], uint64(epoch))
	binary.LittleEndian.PutUint64(b[8:], uint64(sample))
	b[16] = byte(view)
	return sha256.New().Sum(b[:])[0] ^ byte(epoch*31+sample*7+int64(view)*13)
}

func wantErr(t *testing.T, err, kind error, texts ...string) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Fatalf("error %v, want %v", err, kind)
	}
	for _, s := range texts {
		if !strings.Contains(err.Error(), s) {
			t.Fatalf("error %q does not say %q", err, s)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Fatalf("error of several lines: %q", err)
	}
}

// benchSpec has chunks of 2.1 MB: seven samples of two 224×224 views.
func benchSpec() schemas.RunSpec {
	s := testSpec()
	s.Views = []schemas.ViewSpec{{Name: "weak", Role: schemas.Teacher, Size: 224}, {Name: "strong", Role: schemas.Student, Size: 224}}
	s.Dataset.Samples, s.BatchSize, s.StepsPerEpoch, s.Epochs = 70, 70, 1, 1<<40
	s.ChunkSamples = schemas.DefaultChunkSamples(s.SampleBytes(), s.BatchSize)
	return s
}
