package pipeline_test

import (
	"fmt"
	"strings"
	"testing"

	"resslt/cmd/internal/pipeline"
	"resslt/ingest"
)

// The line counts samples and classes, gives every reason of a short survey, and of a long one
// the largest, with the command that lists the rest.
func TestOpenedLine(t *testing.T) {
	two := ingest.Survey{{Reason: "empty files", Count: 2, First: "a/0.jpg"}, {Reason: "links", Count: 1, First: "b\n.jpg"}}
	var many ingest.Survey
	for i := range 9 {
		many = append(many, ingest.PassedOver{Reason: fmt.Sprintf("things of kind %d", i), Count: int64(1 + i*7%9), First: "x"})
	}
	for _, c := range []struct {
		m      ingest.Manifest
		passed ingest.Survey
		want   string
	}{
		{ingest.Manifest{Split: "train", Samples: 16, Classes: []string{"cat", "owl"}}, nil, "folder:/d, split train: 16 samples, 2 classes"},
		{ingest.Manifest{Split: "test", Samples: 1, Classes: []string{"cat"}}, nil, "folder:/d, split test: 1 sample, 1 class"},
		{ingest.Manifest{Split: "train", Samples: 3}, two, `folder:/d, split train: 3 samples, no class names; passed over 3: 2 empty files (first "a/0.jpg"); 1 link (first "b\n.jpg")`},
	} {
		if got := pipeline.OpenedLine("folder:/d", &c.m, c.passed); got != c.want {
			t.Errorf("%s\nwant\n%s", got, c.want)
		}
	}
	long := pipeline.OpenedLine("folder:/d", &ingest.Manifest{Split: "val", Samples: 3}, many)
	if strings.Contains(long, "\n") || strings.Count(long, "things of kind") != 6 || !strings.Contains(long, "passed over 45: ") ||
		!strings.Contains(long, "and 3 more reasons: `resslt shards ls --data 'folder:/d' --split val` lists them") {
		t.Error(long)
	}
	for _, p := range many {
		if strings.Contains(long, p.Reason+" ") != (p.Count > 3) {
			t.Errorf("%s, %d times: %s", p.Reason, p.Count, long)
		}
	}
}
