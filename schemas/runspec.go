package schemas

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"

	"resslt/schemas/errs"
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
// view, since the student's crops may be smaller.
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

// Validate reports whether the spec can be run at all. Its error wraps
// errs.ErrUsage, or errs.ErrUnsupported for another version.
func (s *RunSpec) Validate() error {
	bad := func(field, why, hint string) error {
		return errs.New("run spec field", field, hint, errs.Because(errs.ErrUsage, why))
	}
	switch {
	case s.Version != SpecVersion:
		return errs.New("run spec", fmt.Sprintf("version %d", s.Version),
			fmt.Sprintf("use builds of spec version %d on every machine", SpecVersion), errs.ErrUnsupported)
	case s.Dataset.Digest == "":
		return bad("dataset.digest", "is empty", "index the data set first")
	case s.Engine == "":
		return bad("engine", "is empty", "name the renderer")
	case s.BatchSize < 1:
		return bad("batch_size", fmt.Sprintf("is %d", s.BatchSize), "give 1 or more")
	case s.Dataset.Samples < int64(s.BatchSize) || s.StepsPerEpoch < 1:
		return bad("batch_size", fmt.Sprintf("is %d, but the data set has %d samples", s.BatchSize, s.Dataset.Samples),
			"lower batch_size or add images")
	case s.StepsPerEpoch > s.Dataset.Samples/int64(s.BatchSize):
		return bad("steps_per_epoch", fmt.Sprintf("is %d, over the %d full batches of an epoch", s.StepsPerEpoch, s.Dataset.Samples/int64(s.BatchSize)),
			"lower steps_per_epoch")
	case s.Epochs < 1:
		return bad("epochs", fmt.Sprintf("is %d", s.Epochs), "give 1 or more")
	case s.Epochs > math.MaxInt64/s.StepsPerEpoch:
		return bad("epochs", fmt.Sprintf("is %d", s.Epochs), fmt.Sprintf("give at most %d", math.MaxInt64/s.StepsPerEpoch))
	case s.ChunkSamples < 1 || s.ChunkSamples > s.BatchSize:
		return bad("chunk_samples", fmt.Sprintf("is %d", s.ChunkSamples), fmt.Sprintf("give 1 to %d", s.BatchSize))
	case len(s.Views) == 0:
		return bad("views", "is empty", "give at least one teacher and one student view")
	case s.OnError != Replace && s.OnError != Fail:
		return bad("on_error", fmt.Sprintf("is %q", s.OnError), `give "replace" or "fail"`)
	}
	if err := s.validateOrder(); err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, v := range s.Views {
		switch {
		case v.Name == "" || seen[v.Name]:
			return bad("views", fmt.Sprintf("names %q twice or not at all", v.Name), "give each view a name of its own")
		case v.Size < 1 || v.Size > MaxViewSize:
			return bad("views."+v.Name+".size", fmt.Sprintf("is %d", v.Size), fmt.Sprintf("give 1 to %d", MaxViewSize))
		case v.Role != Teacher && v.Role != Student:
			return bad("views."+v.Name+".role", fmt.Sprintf("is %q", v.Role), `give "teacher" or "student"`)
		}
		seen[v.Name] = true
	}
	return nil
}

// validateOrder checks the order, and that it has the shards that it needs.
func (s *RunSpec) validateOrder() error {
	order, err := ParseOrder(s.Order)
	if err != nil {
		return err
	}
	if !order.Blocked {
		return nil
	}
	var n int64
	for _, shard := range s.Dataset.ShardSamples {
		if shard < 0 || shard > s.Dataset.Samples {
			n = -1
			break
		}
		n += shard
	}
	if n != s.Dataset.Samples {
		return errs.New("run spec field", "dataset.shard_samples", "index the data set again",
			errs.Because(errs.ErrUsage, fmt.Sprintf("they do not add up to the %d samples that order %s visits", s.Dataset.Samples, s.Order)))
	}
	return nil
}

// MaxViewSize caps S, so that a hostile spec cannot demand unbounded buffers.
const MaxViewSize = 1024
