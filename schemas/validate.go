package schemas

import (
	"encoding/json"
	"fmt"
	"math"
	"unicode/utf8"

	"resslt/schemas/errs"
)

// Limits of a run spec. Specs come from command lines, brokers and files, and those who read
// them make room by what they say.
const (
	MaxBatchSize  = 1 << 20 // B: rows of a batch, whose columns a trainer keeps in memory
	MaxViews      = 64
	MaxViewSize   = 1024      // S
	MaxBatchBytes = 16 << 30  // pixels of a batch: a trainer holds several
	MaxMessage    = 64 << 20  // what a NATS server can be configured to carry, and so a chunk
	MaxSamples    = 1 << 48   // of a data set; products with a batch's rows fit int64
	MaxSteps      = 1 << 48   // of a run, as a whole
	MaxShards     = 1_000_000 // of a data set whose order needs their sizes
	MaxMates      = 1024      // of each image
	MaxMixedSets  = 64        // of a mixture: one is looked for among them for every sample
	MaxPolicy     = 256 << 10 // bytes; what package augment parses at most
	MaxSpecBytes  = 6 << 20   // of the JSON: a message of the broker's 8 MiB with room to spare
	MaxDataURI    = 32 << 10  // bytes
	MaxRunInfo    = 7 << 20   // bytes of the JSON of a RunInfo
	maxName       = 256       // bytes of the order, the engine, the data set's format and split
	maxDigest     = 64        // hex SHA-256
)

// Caps on what a chunk carries besides pixels. They bound what a decoder accepts.
const (
	MaxPlanBytes   = 1024 // one encoded plan
	MaxReasonBytes = 256  // one reason, UTF-8

	// MessageOverhead covers subject and headers of one message, bytes.
	MessageOverhead = 1024
	// IPCOverhead covers schema message, record batch metadata and end mark of
	// one Arrow stream besides what grows with the number of views, bytes.
	IPCOverhead     = 4096
	ipcViewOverhead = 1024
	// RowOverhead are the fixed-width columns and offsets of one row, rounded up, bytes.
	RowOverhead = 64
)

// MaxChunkBytes is the largest body that a chunk of the run can have. Decoders
// refuse anything above before they look at it.
func (s *RunSpec) MaxChunkBytes() int { return s.ChunkSamples*s.maxRowBytes() + s.chunkOverhead() }

// MaxChunkMessage is the largest message that a chunk of the run can be, bytes.
func (s *RunSpec) MaxChunkMessage() int { return s.MaxChunkBytes() + MessageOverhead }

func (s *RunSpec) maxRowBytes() int {
	return s.SampleBytes() + len(s.Views)*(MaxPlanBytes+8) + MaxReasonBytes + RowOverhead
}

func (s *RunSpec) chunkOverhead() int { return len(s.Views)*ipcViewOverhead + IPCOverhead }

// BatchBytes is the size of the pixels of n rows of a batch.
func (s *RunSpec) BatchBytes(n int) int64 { return int64(n) * int64(s.SampleBytes()) }

// Validate reports whether the spec can be run at all, within the limits above: afterwards no
// product of its numbers overflows. Its error wraps errs.ErrUsage, or errs.ErrUnsupported for
// another version.
func (s *RunSpec) Validate() error { return s.validate(errs.ErrUsage, errs.ErrUsage) }

// validate does so with other sentinels, for what is wrong and for what is over a limit: a
// spec that comes over the wire is no user's mistake.
func (s *RunSpec) validate(wrong, over error) error {
	if s.Version != SpecVersion {
		return errs.New("run spec", fmt.Sprintf("version %d", s.Version),
			fmt.Sprintf("use builds of spec version %d on every machine", SpecVersion), errs.ErrUnsupported)
	}
	c := checker{wrong: wrong, over: over}
	// The order matters: sizes are multiplied after each is known to be small.
	s.checkTexts(&c)
	s.checkCounts(&c)
	s.checkViews(&c)
	s.checkBytes(&c)
	s.checkOrder(&c)
	return c.err
}

// checker keeps the first fault that is found. After it, no check looks at anything.
type checker struct {
	wrong, over error // sentinels
	err         error
}

func (c *checker) check(ok bool, kind error, field, why, hint string) {
	if c.err == nil && !ok {
		c.err = errs.New("run spec field", field, hint, errs.Because(kind, why))
	}
}

// want checks that ok holds of a field. why says what is wrong, hint what to do.
func (c *checker) want(ok bool, field, why, hint string) { c.check(ok, c.wrong, field, why, hint) }

// limit checks that a field is not over a limit, in the same way.
func (c *checker) limit(ok bool, field, why, hint string) { c.check(ok, c.over, field, why, hint) }

// within checks that a number is from 1 to hi; reason says where that limit comes from.
func (c *checker) within(field string, v, hi int64, reason string) {
	why, hint := fmt.Sprintf("is %d", v), fmt.Sprintf("give 1 to %d: %s", hi, reason)
	c.want(v >= 1, field, why, hint)
	c.limit(v <= hi, field, why, hint)
}

// text checks a text's length.
func (c *checker) text(field, s string, limit int) {
	c.limit(len(s) <= limit, field, fmt.Sprintf("has %d bytes", len(s)), fmt.Sprintf("give at most %d", limit))
	c.want(utf8.ValidString(s), field, "is no UTF-8", "write it as UTF-8")
}

// ok says that no fault was found yet, so that what follows may rely on it.
func (c *checker) ok() bool { return c.err == nil }

func (s *RunSpec) checkTexts(c *checker) {
	c.want(s.Dataset.Digest != "", "dataset.digest", "is empty", "index the data set first")
	c.want(s.Engine != "", "engine", "is empty", "name the renderer")
	c.text("dataset.digest", s.Dataset.Digest, maxDigest)
	c.text("dataset.format", s.Dataset.Format, maxName)
	c.text("dataset.split", s.Dataset.Split, maxName)
	c.text("order", s.Order, maxName)
	c.text("engine", s.Engine, maxName)
	c.text("policy", s.Policy, MaxPolicy)
	c.want(s.OnError == Replace || s.OnError == Fail, "on_error", fmt.Sprintf("is %.60q", s.OnError), `give "replace" or "fail"`)
}

func (s *RunSpec) checkCounts(c *checker) {
	c.within("batch_size", int64(s.BatchSize), MaxBatchSize, "a trainer keeps every row in memory")
	if !c.ok() {
		return
	}
	n := s.Dataset.Samples
	c.want(n >= int64(s.BatchSize) && s.StepsPerEpoch >= 1, "batch_size", fmt.Sprintf("is %d, but the data set has %d samples", s.BatchSize, n),
		"lower batch_size or add images")
	c.within("dataset.samples", n, MaxSamples, "products with it stay within 64 bits")
	full := n / int64(s.BatchSize)
	c.want(s.StepsPerEpoch <= full, "steps_per_epoch", fmt.Sprintf("is %d, over the %d full batches of an epoch", s.StepsPerEpoch, full), "lower steps_per_epoch")
	c.within("epochs", s.Epochs, MaxSteps/max(1, s.StepsPerEpoch), fmt.Sprintf("a run has at most %d steps", int64(MaxSteps)))
	c.within("chunk_samples", int64(s.ChunkSamples), int64(s.BatchSize), "a chunk is a part of a batch")
}

func (s *RunSpec) checkViews(c *checker) {
	c.want(len(s.Views) > 0, "views", "is empty", "give at least one view")
	c.limit(len(s.Views) <= MaxViews, "views", fmt.Sprintf("has %d", len(s.Views)), fmt.Sprintf("give at most %d", MaxViews))
	if !c.ok() {
		return
	}
	seen := map[string]bool{}
	for i, v := range s.Views {
		c.want(v.Name != "" && !seen[v.Name], "views", fmt.Sprintf("names %.60q twice or not at all", v.Name), "give each view a name of its own")
		seen[v.Name] = true
		at := fmt.Sprintf("views[%d]", i)
		c.want(runName.MatchString(v.Name), at+".name", fmt.Sprintf("is %.60q", v.Name), "use 1 to 64 of letters, digits, '-' and '_'")
		if !c.ok() {
			return
		}
		at = "views." + v.Name
		c.within(at+".size", int64(v.Size), MaxViewSize, "a view is so many pixels wide and high")
		c.want(v.Role == Teacher || v.Role == Student, at+".role", fmt.Sprintf("is %.60q", v.Role), `give "teacher" or "student"`)
	}
}

// checkBytes bounds what the spec makes others allocate: a chunk, a batch, the spec itself.
func (s *RunSpec) checkBytes(c *checker) {
	if !c.ok() {
		return
	}
	row, most := int64(s.maxRowBytes()), int64(MaxMessage-MessageOverhead-s.chunkOverhead())
	c.limit(row <= most, "views", fmt.Sprintf("take up to %d bytes a sample", row),
		fmt.Sprintf("have fewer or smaller views: a chunk of one sample is a message, of at most %d bytes", MaxMessage))
	c.limit(int64(s.ChunkSamples) <= most/max(1, row), "chunk_samples", fmt.Sprintf("is %d, of up to %d bytes each", s.ChunkSamples, row),
		fmt.Sprintf("give at most %d: a chunk is a message, of at most %d bytes", most/max(1, row), MaxMessage))
	c.limit(s.BatchBytes(s.BatchSize) <= MaxBatchBytes, "batch_size", fmt.Sprintf("is %d, of %d bytes each", s.BatchSize, s.SampleBytes()),
		fmt.Sprintf("give at most %d: a batch has at most %d GiB", MaxBatchBytes/max(1, s.SampleBytes()), MaxBatchBytes>>30))
}

// checkMates checks that batches hold whole pairs, and that ids stay within 64 bits.
func (s *RunSpec) checkMates(c *checker) {
	k := s.Dataset.Mates
	if k == 0 {
		return
	}
	c.within("dataset.mates", k, MaxMates, "each is a number that a worker keeps")
	c.want(len(s.Dataset.Mix) == 0, "dataset.mates", "is of a mixture", "name one data set")
	c.want(s.Dataset.Samples%2 == 0 && s.Dataset.Samples <= MaxSamples/MaxMates, "dataset.samples", fmt.Sprintf("is %d, of data in pairs", s.Dataset.Samples), "index the data set again")
	c.want(s.BatchSize%2 == 0, "batch_size", fmt.Sprintf("is %d, and the data comes in pairs", s.BatchSize), "give an even number")
}

// checkMix checks that the sets of a mixture add up, and that ids stay within 64 bits.
func (s *RunSpec) checkMix(c *checker) {
	sets := s.Dataset.Mix
	if len(sets) == 0 {
		return
	}
	c.limit(len(sets) <= MaxMixedSets, "dataset.mix", fmt.Sprintf("has %d sets", len(sets)), fmt.Sprintf("give at most %d", MaxMixedSets))
	const hint = "index the data set again"
	var samples, draws int64
	for i, m := range sets {
		at := fmt.Sprintf("dataset.mix[%d]", i)
		c.within(at+".samples", m.Samples, MaxSamples, "a set is a part of the data")
		c.within(at+".draws", m.Draws, MaxSamples, "a set has its share of an epoch")
		if !c.ok() {
			return
		}
		samples, draws = min(samples, MaxSamples)+m.Samples, min(draws, MaxSamples)+m.Draws
	}
	n := s.Dataset.Samples
	c.want(samples == n && draws == n, "dataset.mix", fmt.Sprintf("adds up to %d samples and %d draws, not to %d of either", samples, draws, n), hint)
	c.want(c.ok() && s.Dataset.Repeats() <= math.MaxInt64/n, "dataset.mix", "draws from a small set so often that ids take more than 64 bits", "raise the smallest weight")
}

// checkOrder checks the order, and that it has the shards that it needs.
func (s *RunSpec) checkOrder(c *checker) {
	shards := s.Dataset.ShardSamples
	c.limit(len(shards) <= MaxShards, "dataset.shard_samples", fmt.Sprintf("has %d", len(shards)), fmt.Sprintf("pack the data into at most %d shards, or set order=global", MaxShards))
	if !c.ok() {
		return
	}
	order, err := ParseOrder(s.Order)
	if err != nil {
		c.want(false, "order", fmt.Sprintf("is %.60q", s.Order), "give global, blocked or blocked:shards=8,window=16384")
		return
	}
	c.want(order.String() == s.Order, "order", fmt.Sprintf("is %.60q", s.Order), "write it as "+order.String())
	s.checkMix(c)
	s.checkMates(c)
	if order.Blocked && c.ok() {
		var n int64
		images := s.Dataset.Images()
		for _, shard := range shards {
			if n += shard; shard < 0 || shard > images || n > images {
				n = -1
				break
			}
		}
		c.want(n == images, "dataset.shard_samples",
			fmt.Sprintf("do not add up to the %d samples that order %s visits", images, s.Order), "index the data set again")
	}
	if !c.ok() {
		return
	}
	raw, err := json.Marshal(s)
	c.limit(err == nil && len(raw) <= MaxSpecBytes, "dataset.shard_samples", fmt.Sprintf("has %d, with which the spec takes %d bytes", len(shards), len(raw)),
		fmt.Sprintf("pack the data into fewer shards, or set order=global: a spec is a message, of at most %d bytes", MaxSpecBytes))
}
