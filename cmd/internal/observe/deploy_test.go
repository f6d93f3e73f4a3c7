package observe

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// metricName finds our metrics; what a job or a Helm value is called is no metric.
var metricName = regexp.MustCompile(`\bresslt_[a-z_]+[a-z]\b`)

// TestNames: dashboards, alerts, the scaler and the operations page speak of metrics
// that there are, and the page of all of them.
func TestNames(t *testing.T) {
	known := map[string]bool{}
	for _, m := range Table {
		known[m.Name] = true
		if m.Kind == Histogram {
			for _, s := range []string{"_bucket", "_sum", "_count"} {
				known[m.Name+s] = true
			}
		}
	}
	const page = "../../../docs/operations.md"
	for _, file := range []string{
		"../../../deploy/kubernetes/scaledobject.yaml", "../../../deploy/prometheus/alerts.yaml", "../../../deploy/grafana/resslt.json", page,
	} {
		names := metricName.FindAllString(read(t, file), -1)
		if len(names) == 0 {
			t.Errorf("%s names no metric", file)
		}
		for _, n := range names {
			if !known[n] {
				t.Errorf("%s speaks of %s, which there is not", filepath.Base(file), n)
			}
		}
	}
	text := read(t, page)
	for _, m := range Table {
		if line := "| `" + m.Name + "` | " + string(m.Kind) + " | " + strings.Join(m.Labels, ", ") + " | " + m.Of + " | " + m.Help + " |"; !strings.Contains(text, line) {
			t.Errorf("docs/operations.md lacks\n%s", line)
		}
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
