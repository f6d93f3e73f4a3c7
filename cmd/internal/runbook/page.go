package runbook

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"resslt/cmd/internal/online"
	"resslt/cmd/internal/report"
	"resslt/cmd/internal/version"
	"resslt/train"
)

// MostCompared is how many runs a page tells apart by colour and line.
const MostCompared = 5

// WritePage writes the comparison as one HTML file that needs nothing else.
func (c *Comparison) WritePage(w io.Writer) error { return c.Page().Write(w) }

// Page lays the comparison out.
func (c *Comparison) Page() *report.Page {
	names := Names(c.Runs)
	p := &report.Page{
		Title: strings.Join(names, ", "), Subtitle: "Runs compared; the first is what the others are held against.",
		Tables: []report.Table{c.scoreTable(names), c.keyTable(names)},
		Charts: c.charts(names),
		Made:   version.String() + ", " + time.Now().Format("2 January 2006, 15:04"),
	}
	if t := c.pairedTable(names); len(t.Rows) > 0 {
		p.Tables = append(p.Tables, t)
	}
	return p
}

func (c *Comparison) scoreTable(names []string) report.Table {
	t := report.Table{Title: "Runs", Columns: []string{"run", "recipe", "state", "epochs", "loss", "kNN, %", "linear, %", "images/s"}}
	for i, r := range c.Runs {
		t.Rows = append(t.Rows, []string{names[i], r.Recipe, r.State, fmt.Sprintf("%.4g of %d", r.Epoch, r.Epochs), Figure(r.Loss, 4), Figure(r.KNN, 2), Figure(r.Linear, 2), fmt.Sprintf("%.0f", r.Rate)})
	}
	return t
}

func (c *Comparison) keyTable(names []string) report.Table {
	t := report.Table{Title: "Keys that differ", Columns: append([]string{"key"}, names...)}
	for _, k := range c.Keys {
		row := []string{k.Name}
		for _, v := range k.Values {
			row = append(row, fmt.Sprint(v))
		}
		t.Rows = append(t.Rows, row)
	}
	if len(c.Keys) == 0 {
		t.Caption = "None: they have the same settings."
	}
	return t
}

func (c *Comparison) pairedTable(names []string) report.Table {
	t := report.Table{
		Title: "Paired losses", Columns: []string{"run", "loss − " + names[0] + "'s", "interval", "lower at", "steps"},
		Caption: "Over the steps that both have logged, on the same batches. The interval is by the means of 20 blocks of neighbouring steps. Losses of other temperatures, queues or objectives are no measure of which is better.",
	}
	for _, q := range c.Paired {
		for i, r := range c.Runs {
			if r.Folder == q.Folder && i > 0 {
				t.Rows = append(t.Rows, []string{
					names[i], fmt.Sprintf("%+.4f", q.Mean), q.Interval(), fmt.Sprintf("%.0f %%", 100*q.Lower), strconv.Itoa(q.Steps),
				})
			}
		}
	}
	return t
}

// Figure is a number for a table, "" where there is none.
func Figure(v *float64, digits int) string {
	if v == nil {
		return ""
	}
	return strconv.FormatFloat(*v, 'f', digits, 64)
}

func (c *Comparison) charts(names []string) (out []report.Chart) {
	add := func(title string, y func(*train.MetricsLine) float64) {
		chart := report.Chart{Title: title, XLabel: "epoch"}
		for i, r := range c.Runs {
			s := report.Series{Name: names[i]}
			for k := range r.Lines {
				s.X, s.Y = append(s.X, r.Lines[k].Epoch), append(s.Y, y(&r.Lines[k]))
			}
			chart.Series = append(chart.Series, s)
		}
		out = append(out, chart)
	}
	scores := func(title string, value func(r *Run, s *online.Scores) (float64, bool)) {
		chart, any := report.Chart{Title: title, XLabel: "epoch"}, false
		for i, r := range c.Runs {
			series := report.Series{Name: names[i]}
			for k := range r.Scores {
				if v, ok := value(r, &r.Scores[k]); ok {
					series.X, series.Y, any = append(series.X, float64(r.Scores[k].Epoch)), append(series.Y, v), true
				}
			}
			chart.Series = append(chart.Series, series)
		}
		if any {
			out = append(out, chart)
		}
	}
	scores("kNN top-1 while training, %", func(r *Run, s *online.Scores) (float64, bool) { v, ok := s.KNN[r.firstK()]; return v, ok })
	scores("Linear probe while training, top-1, %", func(_ *Run, s *online.Scores) (float64, bool) {
		if s.LinearTop1 == nil {
			return 0, false
		}
		return *s.LinearTop1, true
	})
	add("Loss", func(l *train.MetricsLine) float64 { return l.Loss })
	add("Spread of the embeddings (0 is collapse)", func(l *train.MetricsLine) float64 {
		if v := l.EmbeddingStd; v != nil {
			return *v
		}
		return math.NaN()
	})
	add("Learning rate", func(l *train.MetricsLine) float64 { return l.LR })
	add("Throughput, images/s", func(l *train.MetricsLine) float64 { return l.ImagesPerSecond })
	return out
}
