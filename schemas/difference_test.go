package schemas

import (
	"fmt"
	"strings"
	"testing"
)

func differSpec() RunSpec {
	const policy = `{"name":"small","views":[{"name":"weak","role":"teacher","size":32,"ops":[{"op":"flip","p":0.5}]},` +
		`{"name":"strong","role":"student","size":32,"ops":[{"op":"flip","p":0.5},{"op":"color_jitter","p":0.8,"brightness":0.4}]}],"limits":{"max_pixels":9}}`
	return RunSpec{
		Version: SpecVersion, Dataset: DatasetSpec{Digest: "aaaaaaaaaaaaaaaa", Format: "folder", Split: "train", Samples: 400},
		Order: "global", Policy: policy, Engine: "turbo/1", Seed: 1, BatchSize: 4,
		Views:  []ViewSpec{{"weak", Teacher, 32}, {"strong", Student, 32}},
		Epochs: 1, StepsPerEpoch: 100, ChunkSamples: 4, OnError: Replace,
	}
}

// TestDifferences: each difference is named by its key with both values, and no other with it.
func TestDifferences(t *testing.T) {
	policy := func(old, now string) func(*RunSpec) {
		return func(s *RunSpec) {
			if !strings.Contains(s.Policy, old) {
				t.Fatalf("no %s", old)
			}
			s.Policy = strings.Replace(s.Policy, old, now, 1)
		}
	}
	for want, change := range map[string]func(*RunSpec){
		"": func(*RunSpec) {},
		"batch_size is 8, the run has 4": func(s *RunSpec) {
			s.BatchSize, s.StepsPerEpoch, s.ChunkSamples = 8, 50, 8
		},
		"epochs is 2, the run has 1":             func(s *RunSpec) { s.Epochs = 2 },
		"seed is 9, the run has 1":               func(s *RunSpec) { s.Seed = 9 },
		"engine is gift/1, the run has turbo/1":  func(s *RunSpec) { s.Engine = "gift/1" },
		"on_error is fail, the run has replace":  func(s *RunSpec) { s.OnError = Fail },
		"split is test, the run has train":       func(s *RunSpec) { s.Dataset.Split, s.Dataset.Digest = "test", "b" },
		"data format is wds, the run has folder": func(s *RunSpec) { s.Dataset.Format, s.Dataset.Digest = "wds", "b" },
		"number of samples is 500, the run has 400": func(s *RunSpec) {
			s.Dataset.Samples, s.Dataset.Digest, s.StepsPerEpoch = 500, "b", 125
		},
		"content of the data is bbbb, the run has aaaaaaaaaaaa":                     func(s *RunSpec) { s.Dataset.Digest = "bbbb" },
		"order is blocked:shards=8,window=64, the run has global":                   func(s *RunSpec) { s.Order = "blocked:shards=8,window=64" },
		"steps_per_epoch is 10, the run has 100":                                    func(s *RunSpec) { s.StepsPerEpoch = 10 },
		"chunk_samples is 2, the run has 4":                                         func(s *RunSpec) { s.ChunkSamples = 2 },
		"policy is imagenet, the run has small":                                     policy(`"name":"small"`, `"name":"imagenet"`),
		"policy.views[strong].ops[color_jitter].brightness is 0.8, the run has 0.4": policy(`"brightness":0.4`, `"brightness":0.8`),
		"policy.views[strong].ops[color_jitter].hue is 0.1, the run has 0":          policy(`"brightness":0.4`, `"brightness":0.4,"hue":0.1`),
		"policy.views[weak].ops[0].op is solarize, the run has flip":                policy(`"op":"flip"`, `"op":"solarize"`),
		"number of policy.views[weak].ops is 2, the run has 1":                      policy(`[{"op":"flip","p":0.5}]`, `[{"op":"flip","p":0.5},{"op":"grayscale","p":0.2}]`),
		"policy.limits.max_pixels is 8, the run has 9":                              policy(`"max_pixels":9`, `"max_pixels":8`),
		"image_size is 64, the run has 32": func(s *RunSpec) {
			s.Policy = strings.ReplaceAll(s.Policy, `"size":32`, `"size":64`)
			s.Views = []ViewSpec{{"weak", Teacher, 64}, {"strong", Student, 64}}
			s.ChunkSamples = 2
		},
		"batch_size is 8, the run has 4; epochs is 2, the run has 1; seed is 9, the run has 1": func(s *RunSpec) {
			s.BatchSize, s.Epochs, s.Seed = 8, 2, 9
		},
	} {
		is, was := differSpec(), differSpec()
		change(&is)
		got := is.Differences(&was)
		if text := got.Text("the run has"); text != want {
			t.Errorf("got  %s\nwant %s", text, want)
		}
		if (len(got) == 0) != (is.Digest() == was.Digest()) {
			t.Errorf("%q: %d differences between digests %.8s and %.8s", want, len(got), is.Digest(), was.Digest())
		}
		if is.EqualBatches(&was) != (want == "" || want == "epochs is 2, the run has 1") {
			t.Errorf("%q: equal batches: %v", want, is.EqualBatches(&was))
		}
	}
}

// A line has room for some of the differences, and says how many more there are.
func TestDifferencesFitALine(t *testing.T) {
	var d Differences
	for i := range 10 {
		d.Add(fmt.Sprintf("key%d", i), strings.Repeat("x", 500), "")
	}
	if s := d.Text("was"); len(s) > 700 || !strings.HasSuffix(s, "; and 4 more") || !strings.Contains(s, `was ""`) {
		t.Errorf("%d bytes: %s", len(s), s)
	}
}
