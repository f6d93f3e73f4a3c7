package track

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"path/filepath"
	"time"

	"resslt/cmd/internal/online"
	"resslt/cmd/internal/tensorboard"
	"resslt/schemas/bounded"
	"resslt/schemas/errs"
	"resslt/train"
	"resslt/train/objective"
)

// MetricsFile is the file of a run's folder with the training's scalars.
const MetricsFile = "metrics.jsonl"

// partBytes is how much of metrics.jsonl is read at once; a line has some 500 bytes.
const partBytes = 256 << 10

// tail reads a run's files from where it was.
type tail struct {
	out string
	at  int64 // bytes of metrics.jsonl that were read
}

// metrics gives the next points of metrics.jsonl after a step; none where there is no more now.
// more reports whether there is.
func (t *tail) metrics(after int64) (points []Point, more bool, err error) {
	f, err := bounded.Open(filepath.Join(t.out, MetricsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, unreadable(t.out, MetricsFile, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, false, unreadable(t.out, MetricsFile, err)
	}
	if info.Size() < t.at { // a session has cut off what it trains again
		t.at = 0
	}
	raw, err := io.ReadAll(io.NewSectionReader(f, t.at, partBytes))
	if err != nil {
		return nil, false, unreadable(t.out, MetricsFile, err)
	}
	whole := raw[:bytes.LastIndexByte(raw, '\n')+1] // a line may be half written
	now := time.Now()
	for row := range bytes.Lines(whole) {
		var l train.MetricsLine
		if json.Unmarshal(row, &l) == nil && l.Step > after {
			points = append(points, Point{Step: l.Step, Epoch: l.Epoch, Time: now, Values: Scalars(&l)})
		}
	}
	t.at += int64(len(whole))
	return points, len(whole) > 0, nil
}

// scores gives the points of a file of scores after a step.
func (t *tail) scores(file string, after int64) (points []Point, err error) {
	lines, err := online.ReadFile(t.out, file)
	now := time.Now()
	for _, s := range lines {
		if s.Step > after {
			points = append(points, Point{Step: s.Step, Epoch: float64(s.Epoch), Time: now, Values: s.Scalars()})
		}
	}
	return points, err
}

func unreadable(out, name string, err error) error {
	return errs.New("read", filepath.Join(out, name), "make it readable", errs.BecauseErr(errs.ErrUnavailable, err))
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
