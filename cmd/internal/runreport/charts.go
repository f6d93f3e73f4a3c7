package runreport

import (
	"math"

	"resslt/cmd/internal/knnprobe"
	"resslt/cmd/internal/report"
	"resslt/train"
	"resslt/train/recipe"
)

// charts are a run's curves: scores, losses, collapse watch, schedules, speed.
func charts(lines []train.MetricsLine, probes []knnprobe.Line, r *recipe.Recipe) (out []report.Chart) {
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
	// figure is the curve of a statistic that not every objective has.
	figure := func(name string, value func(*train.Figures) *float64) []report.Series {
		s := curve(name, func(l *train.MetricsLine) float64 {
			if v := value(&l.Figures); v != nil {
				return *v
			}
			return math.NaN()
		})
		for _, y := range s.Y {
			if !math.IsNaN(y) {
				return []report.Series{s}
			}
		}
		return nil
	}
	add := func(c report.Chart) {
		if len(c.Series) > 0 {
			c.XLabel = "epoch"
			out = append(out, c)
		}
	}
	if knn := knnCurves(probes); len(knn) > 0 {
		add(report.Chart{Title: "kNN top-1 while training, %", Series: knn})
	}
	if len(lines) == 0 {
		return out
	}
	loss := []report.Series{curve("loss", func(l *train.MetricsLine) float64 { return l.Loss })}
	loss = append(loss, figure("relation H(p², p¹)", func(f *train.Figures) *float64 { return f.Relation })...)
	loss = append(loss, figure("InfoNCE", func(f *train.Figures) *float64 { return f.InfoNCE })...)
	loss = append(loss, figure("negative cosine", func(f *train.Figures) *float64 { return f.Cosine })...)
	add(report.Chart{Title: "Loss", Series: loss, Caption: "Where there are more than 400 points, each is the mean of its neighbours."})

	std := report.Chart{
		Title: "Collapse watch: spread of the embeddings", Caption: "Standard deviation of the unit embeddings over the batch, mean over dimensions; 0 is collapse.",
		Series: figure("standard deviation", func(f *train.Figures) *float64 { return f.EmbeddingStd }),
	}
	if r != nil && r.EmbeddingDim > 0 {
		std.Level = &report.Level{Name: "1/√D, spread over the sphere", Y: 1 / math.Sqrt(float64(r.EmbeddingDim))}
	}
	add(std)
	entropy := report.Chart{Title: "Entropy of the target, nats", Series: figure("H(p²)", func(f *train.Figures) *float64 { return f.TargetEntropy })}
	if r != nil && r.K > 1 {
		entropy.Level = &report.Level{Name: "ln K, a flat target", Y: math.Log(float64(r.K))}
	}
	add(entropy)
	agree := figure("same nearest key", func(f *train.Figures) *float64 { return f.Agreement })
	agree = append(agree, figure("cosine", func(f *train.Figures) *float64 { return f.Similarity })...)
	add(report.Chart{Title: "Student and teacher agree", Series: agree})
	add(report.Chart{Title: "Learning rate", Series: []report.Series{curve("lr", func(l *train.MetricsLine) float64 { return l.LR })}})
	add(report.Chart{Title: "Schedules", Series: []report.Series{
		curve("α, weight of the relation (equation 7)", func(l *train.MetricsLine) float64 { return l.Alpha }),
		curve("m, momentum of the teacher (equation 6)", func(l *train.MetricsLine) float64 { return l.M }),
	}})
	add(report.Chart{Title: "Throughput, images/s", Series: []report.Series{curve("images/s", func(l *train.MetricsLine) float64 { return l.ImagesPerSecond })}})
	add(report.Chart{Title: "Waiting for data, % of the time", Series: []report.Series{curve("waiting", func(l *train.MetricsLine) float64 { return 100 * l.DataWait })}})
	return out
}

// knnCurves are the scores of the encoder while it trained, a curve for each k.
func knnCurves(probes []knnprobe.Line) (out []report.Series) {
	if len(probes) == 0 {
		return nil
	}
	for _, k := range sorted(probes[0].KNN) {
		s := report.Series{Name: k}
		for _, p := range probes {
			if v, ok := p.KNN[k]; ok {
				s.X, s.Y = append(s.X, float64(p.Epoch)), append(s.Y, v)
			}
		}
		out = append(out, s)
	}
	return out
}
