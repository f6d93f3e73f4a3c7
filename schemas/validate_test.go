package schemas_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"resslt/schemas"
	"resslt/schemas/errs"
	"resslt/schemas/errs/errstest"
)

// numbers are the integer fields of a spec, by their names in errors.
var numbers = map[string]func(*schemas.RunSpec, int64){
	"batch_size":            func(s *schemas.RunSpec, v int64) { s.BatchSize = int(v) },
	"dataset.samples":       func(s *schemas.RunSpec, v int64) { s.Dataset.Samples = v },
	"epochs":                func(s *schemas.RunSpec, v int64) { s.Epochs = v },
	"steps_per_epoch":       func(s *schemas.RunSpec, v int64) { s.StepsPerEpoch = v },
	"chunk_samples":         func(s *schemas.RunSpec, v int64) { s.ChunkSamples = int(v) },
	"views.weak.size":       func(s *schemas.RunSpec, v int64) { s.Views[0].Size = int(v) },
	"dataset.shard_samples": func(s *schemas.RunSpec, v int64) { s.Order, s.Dataset.ShardSamples = blocked, []int64{v, 1000 - v} },
}

const blocked = "blocked:shards=8,window=16384"

// Whatever a number of a spec is, Validate refuses it by name, or what others make room for by
// it is within the limits. Nobody has to ask twice.
func TestHostileNumbers(t *testing.T) {
	hostile := []int64{math.MinInt64, -1 << 40, -1, 0, 1, 1 << 20, 1<<20 + 1, 1<<31 - 1, 1 << 31, 1 << 40, 1 << 48, 1<<48 + 1, math.MaxInt64}
	for name, set := range numbers {
		for other, also := range numbers {
			for _, v := range hostile {
				for _, w := range hostile {
					s := validSpec()
					also(&s, w)
					set(&s, v)
					checkWithin(t, fmt.Sprintf("%s=%d %s=%d", name, v, other, w), &s)
				}
			}
		}
	}
}

// checkWithin holds a spec to what Validate promises.
func checkWithin(t *testing.T, about string, s *schemas.RunSpec) {
	t.Helper()
	if err := s.Validate(); err != nil {
		if !errors.Is(err, errs.ErrUsage) && !errors.Is(err, errs.ErrUnsupported) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", about, err)
		}
		return
	}
	// Every factor is positive, and no product has overflowed.
	rows, sample := float64(s.BatchSize), 0.0
	for _, v := range s.Views {
		sample += 3 * float64(v.Size) * float64(v.Size)
	}
	if got := s.BatchBytes(s.BatchSize); got <= 0 || float64(got) != rows*sample || got > schemas.MaxBatchBytes {
		t.Errorf("%s: a batch of %d bytes is taken", about, got)
	}
	if got := s.MaxChunkMessage(); got <= 0 || float64(got) < float64(s.ChunkSamples)*sample || got > schemas.MaxMessage {
		t.Errorf("%s: a chunk of %d bytes is taken", about, got)
	}
	if s.Steps() <= 0 || s.Steps() > schemas.MaxSteps || float64(s.Steps()) != float64(s.Epochs)*float64(s.StepsPerEpoch) {
		t.Errorf("%s: %d steps are taken", about, s.Steps())
	}
	if n := s.Chunks(); n < 1 || n > s.BatchSize || n > schemas.MaxBatchSize {
		t.Errorf("%s: %d chunks a step are taken", about, n)
	}
	if s.StepsPerEpoch*int64(s.BatchSize) > s.Dataset.Samples {
		t.Errorf("%s: an epoch visits more than all samples", about)
	}
}

// Each limit is refused one above it, by the field's name, its value and the limit, and taken
// at it where the other fields allow.
func TestLimitsOfASpec(t *testing.T) {
	long := func(n int) string { return strings.Repeat("x", n) }
	views := func(n, size int) (out []schemas.ViewSpec) {
		for i := range n {
			out = append(out, schemas.ViewSpec{Name: fmt.Sprintf("v%d", i), Role: schemas.Student, Size: size})
		}
		return out
	}
	for _, tc := range []struct {
		name   string
		change func(s *schemas.RunSpec, over int)
		says   []string // of the error one above the limit
	}{
		{"batch rows", func(s *schemas.RunSpec, over int) {
			s.Dataset.Samples, s.StepsPerEpoch, s.BatchSize = 1<<30, 1, schemas.MaxBatchSize+over
		}, []string{"batch_size", "1048577", "1048576", "memory"}},
		{"batch bytes", func(s *schemas.RunSpec, over int) {
			s.Dataset.Samples, s.StepsPerEpoch, s.ChunkSamples = 1<<30, 1, 1
			s.Views = views(1, 1024)
			s.BatchSize = schemas.MaxBatchBytes/(3<<20) + over
		}, []string{"batch_size", "5462", "3145728", "5461", "16 GiB"}},
		{"chunk bytes", func(s *schemas.RunSpec, over int) {
			s.Views = views(1, 1024)
			s.ChunkSamples = 21 + over
		}, []string{"chunk_samples", "22", "at most 21", "67108864"}},
		{"sample bytes", func(s *schemas.RunSpec, over int) {
			s.Views = views(21+over, 1024)
			s.ChunkSamples = 1
		}, []string{"views", "a sample", "67108864"}},
		{"views", func(s *schemas.RunSpec, over int) { s.Views = views(schemas.MaxViews+over, 8) }, []string{"views", "65", "64"}},
		{"view size", func(s *schemas.RunSpec, over int) {
			s.Views[0].Size, s.ChunkSamples = schemas.MaxViewSize+over, 1
		}, []string{"views.weak.size", "1025", "1024"}},
		{"samples", func(s *schemas.RunSpec, over int) { s.Dataset.Samples = schemas.MaxSamples + int64(over) }, []string{"dataset.samples", "281474976710657", "281474976710656"}},
		{"steps", func(s *schemas.RunSpec, over int) {
			s.StepsPerEpoch = 8
			s.Epochs = schemas.MaxSteps/8 + int64(over)
		}, []string{"epochs", "35184372088833", "35184372088832", "281474976710656 steps"}},
		{"policy", func(s *schemas.RunSpec, over int) { s.Policy = long(schemas.MaxPolicy + over) }, []string{"policy", "262145", "262144"}},
		{"engine", func(s *schemas.RunSpec, over int) { s.Engine = long(256 + over) }, []string{"engine", "257", "256"}},
		{"digest", func(s *schemas.RunSpec, over int) { s.Dataset.Digest = long(64 + over) }, []string{"dataset.digest", "65", "64"}},
		{"format", func(s *schemas.RunSpec, over int) { s.Dataset.Format = long(256 + over) }, []string{"dataset.format", "257", "256"}},
		{"split", func(s *schemas.RunSpec, over int) { s.Dataset.Split = long(256 + over) }, []string{"dataset.split", "257", "256"}},
		{"shards", func(s *schemas.RunSpec, over int) {
			s.Order, s.Dataset.ShardSamples = blocked, make([]int64, schemas.MaxShards+over)
			s.Dataset.ShardSamples[0] = s.Dataset.Samples
		}, []string{"dataset.shard_samples", "1000001", "1000000"}},
	} {
		for over := range 2 {
			s := validSpec()
			tc.change(&s, over)
			if over == 0 {
				if err := s.Validate(); err != nil {
					t.Errorf("%s: refused at the limit: %v", tc.name, err)
				}
				continue
			}
			if why := errstest.Differs(s.Validate(), errs.ErrUsage, tc.says...); why != "" {
				t.Errorf("%s: %s", tc.name, why)
			}
			// Over the wire it is the same fault, of nobody here.
			info := schemas.RunInfo{Spec: s, Digest: s.Digest()}
			if why := errstest.Differs(info.Check(), errs.ErrTooLarge, tc.says...); why != "" {
				t.Errorf("%s: %s", tc.name, why)
			}
		}
	}
}

// What no limit says: texts, orders and shards that are not what they claim.
func TestHostileTexts(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*schemas.RunSpec)
		says   string
	}{
		"order twice spelled": {func(s *schemas.RunSpec) { s.Order = "blocked" }, "write it as " + blocked},
		"order with a sign":   {func(s *schemas.RunSpec) { s.Order = "blocked:shards=+8,window=16384" }, "order"},
		"huge window":         {func(s *schemas.RunSpec) { s.Order = "blocked:shards=8,window=9223372036854775807" }, "order"},
		"view with a dot":     {func(s *schemas.RunSpec) { s.Views[0].Name = "weak.pixels" }, "views[0].name"},
		"view of a long name": {func(s *schemas.RunSpec) { s.Views[0].Name = strings.Repeat("x", 65) }, "1 to 64"},
		"view with a line":    {func(s *schemas.RunSpec) { s.Views[0].Name = "weak\nWARN" }, "views[0].name"},
		"no UTF-8":            {func(s *schemas.RunSpec) { s.Dataset.Split = "a\xff" }, "dataset.split"},
		"shards overflow": {func(s *schemas.RunSpec) {
			s.Order, s.Dataset.ShardSamples = blocked, []int64{math.MaxInt64, math.MaxInt64, 1002}
		}, "shard_samples"},
		"shards that sum up by wrapping": {func(s *schemas.RunSpec) {
			s.Dataset.Samples = schemas.MaxSamples
			s.Order, s.Dataset.ShardSamples = blocked, slices.Repeat([]int64{schemas.MaxSamples}, 1<<16+1)
		}, "shard_samples"},
		"a million shards of long numbers": {func(s *schemas.RunSpec) {
			s.Dataset.Samples = schemas.MaxSamples
			s.Order, s.Dataset.ShardSamples = blocked, slices.Repeat([]int64{100_000_000}, schemas.MaxShards)
			s.Dataset.ShardSamples[0] = schemas.MaxSamples - 100_000_000*(schemas.MaxShards-1)
		}, "6291456 bytes"},
	} {
		s := validSpec()
		tc.change(&s)
		if why := errstest.Differs(s.Validate(), errs.ErrUsage, tc.says); why != "" {
			t.Errorf("%s: %s", name, why)
		}
	}
}

func TestParseRunInfo(t *testing.T) {
	info := schemas.RunInfo{Spec: validSpec(), DataURI: "cifar10:/data"}
	info.Digest = info.Spec.Digest()
	raw, err := json.Marshal(info)
	if err != nil {
		t.Fatal(err)
	}
	got, err := schemas.ParseRunInfo(raw)
	if err != nil || got.Digest != info.Digest || got.DataURI != info.DataURI {
		t.Fatalf("%+v, %v", got, err)
	}
	text := string(raw)
	for name, tc := range map[string]struct {
		text string
		is   error
		says string
	}{
		"newer field of the spec":    {strings.Replace(text, `"seed":7`, `"seed":7,"mixup":0.4`, 1), errs.ErrUnsupported, `"mixup"`},
		"newer field of the data":    {strings.Replace(text, `"split":`, `"licence":"x","split":`, 1), errs.ErrUnsupported, `"licence"`},
		"newer field of a view":      {strings.Replace(text, `"role":`, `"depth":1,"role":`, 1), errs.ErrUnsupported, `"depth"`},
		"newer field of the info":    {strings.Replace(text, `"data_uri":`, `"owner":"x","data_uri":`, 1), errs.ErrUnsupported, `"owner"`},
		"newer version":              {strings.Replace(text, `"version":1`, `"version":2`, 1), errs.ErrUnsupported, "version 2"},
		"other spec":                 {strings.Replace(text, `"seed":7`, `"seed":8`, 1), errs.ErrMismatch, "digest"},
		"a field twice":              {strings.Replace(text, `"seed":7`, `"seed":7,"seed":7`, 1), errs.ErrCorrupt, "seed"},
		"a number over 64 bits":      {strings.Replace(text, `"seed":7`, `"seed":18446744073709551616`, 1), errs.ErrCorrupt, "seed"},
		"a batch over 64 bits":       {strings.Replace(text, `"batch_size":100`, `"batch_size":1e30`, 1), errs.ErrCorrupt, "batch_size"},
		"a list for a number":        {strings.Replace(text, `"epochs":2`, `"epochs":[2]`, 1), errs.ErrCorrupt, "epochs"},
		"cut off":                    {text[:len(text)/2], errs.ErrCorrupt, "JSON"},
		"two of them":                {text + text, errs.ErrCorrupt, ""},
		"nothing":                    {"", errs.ErrCorrupt, ""},
		"null":                       {"null", errs.ErrUnsupported, "version 0"},
		"nested too deep":            {strings.Repeat("[", 1<<20), errs.ErrTooLarge, "deeper"},
		"too long":                   {text + strings.Repeat(" ", schemas.MaxRunInfo), errs.ErrTooLarge, "7340032"},
		"data at the end of nowhere": {strings.Replace(text, "cifar10:/data", "cifar10:/"+strings.Repeat("d", schemas.MaxDataURI), 1), errs.ErrTooLarge, "data_uri"},
	} {
		_, err := schemas.ParseRunInfo([]byte(tc.text))
		if why := errstest.Differs(err, tc.is, tc.says); why != "" {
			t.Errorf("%s: %s", name, why)
		}
	}
}

// FuzzRunInfo: what is taken stays within the limits, and is taken again as it is written.
func FuzzRunInfo(f *testing.F) {
	info := schemas.RunInfo{Spec: validSpec(), DataURI: "cifar10:/data"}
	for _, change := range slices.Concat([]func(*schemas.RunSpec){func(*schemas.RunSpec) {}}, hostileChanges()) {
		x := info
		x.Spec.Views = slices.Clone(info.Spec.Views)
		change(&x.Spec)
		x.Digest = x.Spec.Digest()
		raw, err := json.Marshal(x)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw, true)
	}
	f.Add([]byte(`{"spec":{"version":1,"batch_size":1e9}}`), false)
	f.Fuzz(func(t *testing.T, raw []byte, sign bool) {
		var x schemas.RunInfo
		if sign && json.Unmarshal(raw, &x) == nil { // so that mutations get behind the digest
			x.Digest = x.Spec.Digest()
			raw, _ = json.Marshal(x) // of texts and numbers: it cannot fail
		}
		got, err := schemas.ParseRunInfo(raw)
		if err != nil {
			if !slices.ContainsFunc([]error{errs.ErrCorrupt, errs.ErrTooLarge, errs.ErrMismatch, errs.ErrUnsupported}, func(kind error) bool { return errors.Is(err, kind) }) ||
				strings.Contains(err.Error(), "\n") {
				t.Errorf("%v", err)
			}
			return
		}
		checkWithin(t, string(raw), &got.Spec)
		again, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		if same, err := schemas.ParseRunInfo(again); err != nil || same.Digest != got.Digest {
			t.Errorf("%s is written as %s: %v", raw, again, err)
		}
	})
}

func hostileChanges() (out []func(*schemas.RunSpec)) {
	for _, set := range numbers {
		for _, v := range []int64{0, -1, 1 << 31, 1 << 40, math.MaxInt64} {
			out = append(out, func(s *schemas.RunSpec) { set(s, v) })
		}
	}
	return out
}
