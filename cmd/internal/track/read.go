package track

import (
	"path/filepath"
	"time"

	"resslt/cmd/internal/online"
	"resslt/cmd/internal/tensorboard"
	"resslt/train"
	"resslt/train/objective"
)

// partBytes is how much of metrics.jsonl is read at once; a line has some 500 bytes.
const partBytes = 256 << 10

// tailOf reads metrics.jsonl of the run in a folder.
func tailOf(out string) *train.MetricsTail {
	t := train.FollowMetrics(filepath.Join(out, train.MetricsFile))
	t.Part = partBytes
	return t
}

// points are those of lines after a step.
func points(lines []train.MetricsLine, after int64) (out []Point) {
	now := time.Now()
	for i := range lines {
		if l := &lines[i]; l.Step > after {
			out = append(out, Point{Step: l.Step, Epoch: l.Epoch, Time: now, Values: Scalars(l)})
		}
	}
	return out
}

// scores gives the points of a file of a run's scores after a step.
func scores(out, file string, after int64) (points []Point, err error) {
	lines, err := online.ReadFile(out, file)
	now := time.Now()
	for _, s := range lines {
		if s.Step > after {
			points = append(points, Point{Step: s.Step, Epoch: float64(s.Epoch), Time: now, Values: s.Scalars()})
		}
	}
	return points, err
}

// Scalars are a line of metrics with its values' tags, TensorBoard's and every tracker's.
func Scalars(l *train.MetricsLine) []tensorboard.Scalar {
	values := []tensorboard.Scalar{
		{Tag: "loss/total", Value: l.Loss},
		{Tag: "schedule/lr", Value: l.LR},
		{Tag: "schedule/m", Value: l.M},
		{Tag: "schedule/alpha", Value: l.Alpha},
		{Tag: "speed/images_per_second", Value: l.ImagesPerSecond},
		{Tag: "speed/data_wait_fraction", Value: l.DataWait},
		{Tag: "progress/epoch", Value: l.Epoch},
	}
	for i, s := range objective.Shown() {
		if v := *l.Figures.Fields()[i]; v != nil {
			values = append(values, tensorboard.Scalar{Tag: s.Tag, Value: *v})
		}
	}
	for i, ms := range l.PhaseMS.Values() {
		if ms > 0 {
			values = append(values, tensorboard.Scalar{Tag: "phase_ms/" + train.PhaseNames[i], Value: ms})
		}
	}
	return values
}
