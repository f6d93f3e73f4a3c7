package schemas

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
)

// SpecVersion is the version of the meaning of RunSpec. A process refuses a run
// of another version.
const SpecVersion = 1

// TargetChunkBytes is the size that chunks are kept near: three of them fit one
// 8 MiB block of a JetStream file store. Chunks of 4–7 MB waste most of a block.
const TargetChunkBytes = 2_400_000

// Role is the network that sees a view.
type Role string

const (
	// Teacher views are the weak ones, x² in the paper.
	Teacher Role = "teacher"
	// Student views are the strong ones, x¹ in the paper.
	Student Role = "student"
)

// ViewSpec is one view that is drawn from every sample.
type ViewSpec struct {
	Name string `json:"name"` // unique in the run: "weak", "strong", "crop3"
	Role Role   `json:"role"`
	Size int    `json:"size"` // S: the view is S×S pixels
}

// Bytes is the size of one view of one sample: 3·S·S.
func (v ViewSpec) Bytes() int { return 3 * v.Size * v.Size }

// OnError is what to do about a sample that cannot be decoded.
type OnError string

const (
	// Replace takes the deterministic next sample of the epoch's order.
	Replace OnError = "replace"
	// Fail stops the trainer.
	Fail OnError = "fail"
)

// RunSpec is everything that the batches of a run depend on. Two runs of equal
// Digest have equal batches, whichever worker makes them, anywhere and at any time.
type RunSpec struct {
	Version int         `json:"version"`
	Dataset DatasetSpec `json:"dataset"`
	Order   string      `json:"order"`  // how samples are ordered: an OrderSpec in its canonical form
	Policy  string      `json:"policy"` // the augmentation policy, in augment's canonical form
	Engine  string      `json:"engine"` // name and version of the renderer, e.g. "gift/1"
	Seed    uint64      `json:"seed"`

	BatchSize     int        `json:"batch_size"` // B
	Views         []ViewSpec `json:"views"`
	Epochs        int64      `json:"epochs"`
	StepsPerEpoch int64      `json:"steps_per_epoch"` // ⌊samples/B⌋: the tail of an epoch is dropped
	ChunkSamples  int        `json:"chunk_samples"`   // samples a chunk; the last chunk of a step may hold fewer
	OnError       OnError    `json:"on_error"`
}

// DatasetSpec identifies the data by content. Its location is no part of it:
// workers may keep copies under different paths.
type DatasetSpec struct {
	Digest  string `json:"digest"` // of the manifest, hex SHA-256
	Format  string `json:"format"` // scheme of the data URI: "folder", "cifar10"
	Split   string `json:"split"`  // "train", "test", "unlabeled"
	Samples int64  `json:"samples"`

	// ShardSamples are the numbers of samples of the shards, in the order of ids.
	// They are set only for orders that need them, so that the spec alone determines
	// the order.
	ShardSamples []int64 `json:"shard_samples,omitempty"`

	// Mix are the sets of a mixture, in the order of ids; empty for other data. Samples is
	// then the number of all of them, and of the draws of an epoch.
	Mix []MixedSet `json:"mix,omitempty"`

	// Mates is K of data that is visited in pairs, a sample and one of its K mates; 0 for other
	// data. Samples is then twice the number N of images. Ids below N are images, and mate k of
	// image i has the id k·2N + N + i.
	Mates int64 `json:"mates,omitempty"`
}

// Images is the number of images.
func (d *DatasetSpec) Images() int64 {
	if d.Mates > 0 {
		return d.Samples / 2
	}
	return d.Samples
}

// MixedSet is one set of a mixture.
type MixedSet struct {
	Samples int64 `json:"samples"`
	Draws   int64 `json:"draws"` // from it, in an epoch
}

// Repeats is R: ids of samples are below R·Samples. Id i is sample i mod Samples; an epoch
// that visits a sample of a mixture again does so under another of its ids, so that other
// views are drawn. Of data in pairs it is the number of mates.
func (d *DatasetSpec) Repeats() int64 {
	most := max(1, d.Mates)
	for _, m := range d.Mix {
		most = max(most, m.repeats())
	}
	return most
}

// HasID reports whether a sample has that id.
func (d *DatasetSpec) HasID(id int64) bool { return id >= 0 && id < d.Samples*d.Repeats() }

// repeats is how many of the set's own epochs an epoch of the mixture may touch.
func (m MixedSet) repeats() int64 {
	if m.Draws%m.Samples == 0 {
		return m.Draws / m.Samples // as many, whole ones
	}
	return (m.Draws+m.Samples-2)/m.Samples + 1
}

// Steps is the number of steps of the whole run.
func (s *RunSpec) Steps() int64 { return s.Epochs * s.StepsPerEpoch }

// Chunks is the number of chunks of every step.
func (s *RunSpec) Chunks() int {
	return (s.BatchSize + s.ChunkSamples - 1) / s.ChunkSamples
}

// ChunkRange is the half-open range of slots [lo, hi) that chunk c of a step holds.
func (s *RunSpec) ChunkRange(c int) (lo, hi int) {
	lo = c * s.ChunkSamples
	return lo, min(lo+s.ChunkSamples, s.BatchSize)
}

// SampleBytes is the size of all views of one sample.
func (s *RunSpec) SampleBytes() int {
	n := 0
	for _, v := range s.Views {
		n += v.Bytes()
	}
	return n
}

// EncoderSize is the S at which the trained encoder is used: that of the teacher's
// view, since the student's crops may be smaller; without a teacher, of the first view.
func (s *RunSpec) EncoderSize() int {
	for _, v := range s.Views {
		if v.Role == Teacher {
			return v.Size
		}
	}
	return s.Views[0].Size
}

// DefaultChunkSamples is the number of samples that keeps a chunk near
// TargetChunkBytes: one at least.
func DefaultChunkSamples(sampleBytes, batchSize int) int {
	if sampleBytes <= 0 {
		return batchSize
	}
	return min(max(1, TargetChunkBytes/sampleBytes), batchSize)
}

// Digest is the hex SHA-256 of the spec's JSON (fields in declaration order).
func (s *RunSpec) Digest() string {
	b, err := json.Marshal(s)
	if err != nil {
		// A RunSpec holds only strings and numbers, on which Marshal cannot fail.
		return "unmarshalable"
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
