package schemas_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"resslt/schemas"
	"resslt/schemas/errs"
	"resslt/schemas/errs/errstest"
)

func validSpec() schemas.RunSpec {
	return schemas.RunSpec{
		Version: schemas.SpecVersion,
		Dataset: schemas.DatasetSpec{Digest: "d", Format: "cifar10", Split: "train", Samples: 1000},
		Order:   "global", Policy: "{}", Engine: "gift/1", Seed: 7,
		BatchSize: 100,
		Views: []schemas.ViewSpec{
			{Name: "weak", Role: schemas.Teacher, Size: 32},
			{Name: "strong", Role: schemas.Student, Size: 32},
		},
		Epochs: 2, StepsPerEpoch: 10, ChunkSamples: 30, OnError: schemas.Replace,
	}
}

func TestRunSpecChunksCoverTheBatch(t *testing.T) {
	s := validSpec()
	for _, n := range []int{1, 7, 30, 99, 100} {
		s.ChunkSamples = n
		next := 0
		for c := range s.Chunks() {
			lo, hi := s.ChunkRange(c)
			if lo != next || hi <= lo {
				t.Fatalf("chunk_samples %d: chunk %d is [%d,%d), want it to begin at %d", n, c, lo, hi, next)
			}
			next = hi
		}
		if next != s.BatchSize {
			t.Errorf("chunk_samples %d: chunks end at slot %d of %d", n, next, s.BatchSize)
		}
	}
}

func TestDefaultChunkSamples(t *testing.T) {
	for _, tc := range []struct{ bytes, batch, want int }{
		{2 * 3 * 32 * 32, 256, 256},  // a small batch is one chunk
		{2 * 3 * 224 * 224, 1024, 7}, // 2.1 MB
		{5_000_000, 64, 1},           // a sample over the target is a chunk
		{2 * 3 * 32 * 32, 1024, 390}, // 2.4 MB
	} {
		if got := schemas.DefaultChunkSamples(tc.bytes, tc.batch); got != tc.want {
			t.Errorf("DefaultChunkSamples(%d, %d) = %d, want %d", tc.bytes, tc.batch, got, tc.want)
		}
	}
}

// Every field of the spec must move the digest: a field that did not would let
// two runs of unlike batches pass for one.
func TestDigestCoversEveryField(t *testing.T) {
	base := validSpec()
	seen := map[string]string{base.Digest(): "the base"}
	for name, change := range map[string]func(*schemas.RunSpec){
		"version":   func(s *schemas.RunSpec) { s.Version++ },
		"dataset":   func(s *schemas.RunSpec) { s.Dataset.Digest = "e" },
		"format":    func(s *schemas.RunSpec) { s.Dataset.Format = "stl10" },
		"split":     func(s *schemas.RunSpec) { s.Dataset.Split = "test" },
		"samples":   func(s *schemas.RunSpec) { s.Dataset.Samples++ },
		"order":     func(s *schemas.RunSpec) { s.Order = "blocked" },
		"policy":    func(s *schemas.RunSpec) { s.Policy = "{ }" },
		"engine":    func(s *schemas.RunSpec) { s.Engine = "turbo/1" },
		"seed":      func(s *schemas.RunSpec) { s.Seed++ },
		"batch":     func(s *schemas.RunSpec) { s.BatchSize-- },
		"view size": func(s *schemas.RunSpec) { s.Views[1].Size++ },
		"view role": func(s *schemas.RunSpec) { s.Views[1].Role = schemas.Teacher },
		"epochs":    func(s *schemas.RunSpec) { s.Epochs++ },
		"steps":     func(s *schemas.RunSpec) { s.StepsPerEpoch-- },
		"chunk":     func(s *schemas.RunSpec) { s.ChunkSamples-- },
		"on error":  func(s *schemas.RunSpec) { s.OnError = schemas.Fail },
	} {
		s := validSpec()
		change(&s)
		d := s.Digest()
		if other, dup := seen[d]; dup {
			t.Errorf("changing %s gives the digest of %s", name, other)
		}
		seen[d] = name
	}
}

func TestRunSpecValidate(t *testing.T) {
	s := validSpec()
	if err := s.Validate(); err != nil {
		t.Fatalf("valid spec refused: %v", err)
	}
	// Supervised training and evaluation have one view, and no teacher.
	alone := validSpec()
	alone.Views = alone.Views[1:]
	if err := alone.Validate(); err != nil || alone.EncoderSize() != alone.Views[0].Size {
		t.Errorf("one student view: %v, encoder of %d", err, alone.EncoderSize())
	}
	for name, tc := range map[string]struct {
		change func(*schemas.RunSpec)
		is     error
		says   string
	}{
		"too few samples":  {func(s *schemas.RunSpec) { s.Dataset.Samples = 50; s.StepsPerEpoch = 0 }, errs.ErrUsage, "50 samples"},
		"too many steps":   {func(s *schemas.RunSpec) { s.StepsPerEpoch = 11 }, errs.ErrUsage, "steps_per_epoch"},
		"other version":    {func(s *schemas.RunSpec) { s.Version = 9 }, errs.ErrUnsupported, "version 9"},
		"huge view":        {func(s *schemas.RunSpec) { s.Views[0].Size = 1 << 20 }, errs.ErrUsage, "views.weak.size"},
		"same name":        {func(s *schemas.RunSpec) { s.Views[1].Name = "weak" }, errs.ErrUsage, "weak"},
		"no role":          {func(s *schemas.RunSpec) { s.Views[1].Role = "" }, errs.ErrUsage, "role"},
		"chunk over batch": {func(s *schemas.RunSpec) { s.ChunkSamples = 101 }, errs.ErrUsage, "chunk_samples"},
		"mixture": {func(s *schemas.RunSpec) {
			s.Dataset.Mix = []schemas.MixedSet{{Samples: 900, Draws: 500}, {Samples: 100, Draws: 400}}
		}, errs.ErrUsage, "1000 samples and 900 draws"},
		"empty set": {func(s *schemas.RunSpec) {
			s.Dataset.Mix = []schemas.MixedSet{{Samples: 1000, Draws: 500}, {Samples: 0, Draws: 500}}
		}, errs.ErrUsage, "dataset.mix[1].samples"},
		"set without a draw": {func(s *schemas.RunSpec) {
			s.Dataset.Mix = []schemas.MixedSet{{Samples: 500, Draws: 1000}, {Samples: 500, Draws: 0}}
		}, errs.ErrUsage, "dataset.mix[1].draws"},
		"sets beyond 64 bits": {func(s *schemas.RunSpec) {
			s.Dataset.Mix = []schemas.MixedSet{{Samples: 1 << 62, Draws: 500}, {Samples: 1 << 62, Draws: 500}}
		}, errs.ErrUsage, "dataset.mix[0].samples"},
		"ids beyond 64 bits": {func(s *schemas.RunSpec) {
			s.Dataset.Samples = 1 << 40
			s.Dataset.Mix = []schemas.MixedSet{{Samples: 1<<40 - 1, Draws: 1<<40 - 1<<30}, {Samples: 1, Draws: 1 << 30}}
		}, errs.ErrUsage, "64 bits"},
		"too many sets": {func(s *schemas.RunSpec) {
			s.Dataset.Mix = slices.Repeat([]schemas.MixedSet{{Samples: 1, Draws: 1}}, schemas.MaxMixedSets+1)
		}, errs.ErrUsage, "65 sets"},
		"on_error": {func(s *schemas.RunSpec) { s.OnError = "skip" }, errs.ErrUsage, "skip"},
	} {
		s := validSpec()
		tc.change(&s)
		if why := errstest.Differs(s.Validate(), tc.is, tc.says); why != "" {
			t.Errorf("%s: %s", name, why)
		}
	}
}

func TestRunInfoCheck(t *testing.T) {
	r := schemas.RunInfo{Spec: validSpec(), DataURI: "cifar10:/data"}
	r.Digest = r.Spec.Digest()
	raw, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var back schemas.RunInfo
	if err := json.Unmarshal(raw, &back); err != nil {
		t.Fatal(err)
	}
	if err := back.Check(); err != nil {
		t.Fatalf("a record that went through JSON: %v", err)
	}
	back.Spec.Seed++
	if err := back.Check(); !errors.Is(err, errs.ErrMismatch) {
		t.Errorf("changed spec: got %v, want ErrMismatch", err)
	}
}

func TestSubjectsRoundTrip(t *testing.T) {
	for _, s := range []string{schemas.TaskSubject("r-1", 12, 3), schemas.ChunkSubject("r-1", 12, 3)} {
		run, step, chunk, err := schemas.ParseStepSubject(s)
		if err != nil || run != "r-1" || step != 12 || chunk != 3 {
			t.Errorf("%s parses as %q %d %d, %v", s, run, step, chunk, err)
		}
	}
	for _, s := range []string{
		"", "b.r.1", "c.r.1.2", "b.r.x.2", "b.r.1.-2", "b.r.1.2.3", "b..1.2", "b.r.-1.0",
		"b.r.007.2", "b.r.+7.2", "b.r.-0.2", "b.r.7.02", "b.r.7.+2", "b.r.7.-0", "b.r.0x7.2", "b.r.1_0.2", "b.r. 7.2", "b.r.7.00", "b.r.-0.00",
		"b.r.9223372036854775808.0", "b.r.1.9223372036854775808", "B.r.1.2", "b.r.\u0667.2",
	} {
		if _, _, _, err := schemas.ParseStepSubject(s); !errors.Is(err, errs.ErrCorrupt) {
			t.Errorf("%q: got %v, want ErrCorrupt", s, err)
		}
	}
	for _, name := range []string{"", "a.b", "a b", "a*", strings.Repeat("x", 65)} {
		if err := schemas.CheckRunName(name); !errors.Is(err, errs.ErrUsage) {
			t.Errorf("run name %q: got %v, want ErrUsage", name, err)
		}
	}
}

func TestViewBatchSchema(t *testing.T) {
	s := validSpec()
	sc := schemas.ViewBatchSchema(s.Views)
	if got, want := sc.NumFields(), schemas.PixelsColumn(len(s.Views)); got != want {
		t.Fatalf("%d fields, want %d", got, want)
	}
	f := sc.Field(schemas.PixelsColumn(1))
	if f.Name != "strong.pixels" || f.Type.String() != "fixed_size_binary[3072]" {
		t.Errorf("pixels of view 1: %s %s", f.Name, f.Type)
	}
	if v, _ := f.Metadata.GetValue("shape"); v != "32,32,3" {
		t.Errorf("shape metadata %q", v)
	}
	if sc.Field(schemas.PixelsColumn(1)+1).Name != "strong.plan" {
		t.Errorf("plan column is %s", sc.Field(schemas.PixelsColumn(1)+1).Name)
	}
}
