package runreport

import (
	"math"
	"slices"

	"resslt/cmd/internal/online"
	"resslt/cmd/internal/report"
	"resslt/train"
	"resslt/train/objective"
	"resslt/train/recipe"
)

// charts are a run's curves: scores, losses, collapse watch, schedules, speed.
func charts(lines []train.MetricsLine, scores []online.Scores, r *recipe.Recipe) (out []report.Chart) {
	at := make([]float64, len(lines))
	for i, l := range lines {
		at[i] = l.Epoch
	}
	curve := func(name string, value func(*train.MetricsLine) float64) report.Series {
		s := report.Series{Name: name, X: at, Y: make([]float64, len(lines))}
		for i := range lines {
			s.Y[i] = value(&lines[i])
		}
		return s
	}
	add := func(c report.Chart) {
		if len(c.Series) > 0 {
			c.XLabel = "epoch"
			out = append(out, c)
		}
	}
	add(report.Chart{Title: "kNN top-1 while training, %", Series: knnCurves(scores)})
	add(report.Chart{Title: "Linear probe while training, %", Series: linearCurves(scores)})
	if len(lines) == 0 {
		return out
	}
	for _, c := range statistics(curve, r) {
		add(c)
	}
	add(report.Chart{Title: "Learning rate", Series: []report.Series{curve("lr", func(l *train.MetricsLine) float64 { return l.LR })}})
	add(report.Chart{Title: "Schedules", Series: []report.Series{
		curve("α, weight of the relation (equation 7)", func(l *train.MetricsLine) float64 { return l.Alpha }),
		curve("m, momentum of the teacher (equation 6)", func(l *train.MetricsLine) float64 { return l.M }),
	}})
	add(report.Chart{Title: "Throughput, images/s", Series: []report.Series{curve("images/s", func(l *train.MetricsLine) float64 { return l.ImagesPerSecond })}})
	add(report.Chart{Title: "Waiting for data, % of the time", Series: []report.Series{curve("waiting", func(l *train.MetricsLine) float64 { return 100 * l.DataWait })}})
	return out
}

// lossChart is the title of the chart that the loss is in, with its terms.
const lossChart = "Loss"

// statistics are the charts of the loss and of the statistics that the objective has, in the
// order in which they are listed.
func statistics(curve func(string, func(*train.MetricsLine) float64) report.Series, r *recipe.Recipe) (out []report.Chart) {
	out = []report.Chart{{
		Title: lossChart, Caption: "Where there are more than 400 points, each is the mean of its neighbours.",
		Series: []report.Series{curve("loss", func(l *train.MetricsLine) float64 { return l.Loss })},
	}}
	for i, stat := range objective.Shown() {
		s := curve(stat.Curve, func(l *train.MetricsLine) float64 {
			if v := *l.Figures.Fields()[i]; v != nil {
				return *v
			}
			return math.NaN()
		})
		if !slices.ContainsFunc(s.Y, func(y float64) bool { return !math.IsNaN(y) }) {
			continue
		}
		at := slices.IndexFunc(out, func(c report.Chart) bool { return c.Title == stat.Chart })
		if at < 0 {
			at = len(out)
			out = append(out, report.Chart{Title: stat.Chart})
			explain(&out[at], stat.Key, r)
		}
		out[at].Series = append(out[at].Series, s)
	}
	return out
}

// explain adds what a chart's values are to be compared with, where that is known.
func explain(c *report.Chart, key string, r *recipe.Recipe) {
	switch key {
	case "embedding_std":
		c.Caption = "Standard deviation of the unit embeddings over the batch, mean over dimensions; 0 is collapse."
		if r != nil && r.EmbeddingDim > 0 {
			c.Level = &report.Level{Name: "1/√D, spread over the sphere", Y: 1 / math.Sqrt(float64(r.EmbeddingDim))}
		}
	case "target_entropy":
		if r != nil && r.K > 1 {
			c.Level = &report.Level{Name: "ln K, a flat target", Y: math.Log(float64(r.K))}
		}
	}
}

// knnCurves are the scores of the encoder while it trained, a curve for each k.
func knnCurves(scores []online.Scores) (out []report.Series) {
	first := slices.IndexFunc(scores, func(s online.Scores) bool { return s.KNN != nil })
	if first < 0 {
		return nil
	}
	for _, k := range scores[first].Ks() {
		out = append(out, scoreCurve(k, scores, func(s *online.Scores) *float64 {
			if v, ok := s.KNN[k]; ok {
				return &v
			}
			return nil
		}))
	}
	return out
}

// linearCurves are the linear probe's, top-1 and top-5.
func linearCurves(scores []online.Scores) (out []report.Series) {
	for _, s := range []report.Series{
		scoreCurve("top-1", scores, func(s *online.Scores) *float64 { return s.LinearTop1 }),
		scoreCurve("top-5", scores, func(s *online.Scores) *float64 { return s.LinearTop5 }),
	} {
		if len(s.X) > 0 {
			out = append(out, s)
		}
	}
	return out
}

func scoreCurve(name string, scores []online.Scores, value func(*online.Scores) *float64) report.Series {
	s := report.Series{Name: name}
	for i := range scores {
		if v := value(&scores[i]); v != nil {
			s.X, s.Y = append(s.X, float64(scores[i].Epoch)), append(s.Y, *v)
		}
	}
	return s
}
