package train

import (
	"bufio"
	"encoding/json"
	"errors"
	"io/fs"
	"os"

	"resslt/schemas/bounded"
	"resslt/schemas/errs"
)

// MetricsLine is one line of OUT/metrics.jsonl, after step Step.
type MetricsLine struct {
	Step  int64   `json:"step"`
	Epoch float64 `json:"epoch"`
	Loss  float64 `json:"loss"`
	Figures
	Alpha           float64 `json:"alpha"` // equation 7
	LR              float64 `json:"lr"`
	M               float64 `json:"m"`
	ImagesPerSecond float64 `json:"images_per_second"`
	DataWait        float64 `json:"data_wait_fraction"`
	PhaseMS         Phases  `json:"phase_ms"` // means over the steps since the line before
}

// ReadMetrics reads a run's metrics.jsonl, oldest first. A last line that a killed process
// left half-written is skipped. It returns an error that wraps ErrNotFound where there is
// no file.
func ReadMetrics(path string) (lines []MetricsLine, err error) {
	f, err := bounded.Open(path)
	if err != nil {
		return nil, errs.New("read metrics", path, "name the folder of a run", errs.BecauseErr(errs.ErrNotFound, err))
	}
	defer f.Close()
	for in := bufio.NewScanner(f); in.Scan(); { // ends at a line that is too long, too
		var l MetricsLine
		if json.Unmarshal(in.Bytes(), &l) != nil {
			break
		}
		lines = append(lines, l)
	}
	return lines, nil
}

// metricsFile appends lines; each is flushed, so that a killed run keeps them. A nil one,
// of a rank other than 0 or that could not be opened, drops them.
type metricsFile struct{ f *os.File }

// openMetrics opens path for lines after step from: lines of a session that went further
// than its last checkpoint are dropped, since their steps are trained again.
func openMetrics(path string, from int64) (*metricsFile, error) {
	fail := func(err error) (*metricsFile, error) {
		return nil, errs.New("write metrics", path, "make --out writable", errs.BecauseErr(errs.ErrUnavailable, err))
	}
	keep := int64(0)
	if from > 0 {
		f, err := bounded.Open(path)
		if err == nil {
			in := bufio.NewScanner(f)
			for in.Scan() {
				var line MetricsLine
				if json.Unmarshal(in.Bytes(), &line) != nil || line.Step > from {
					break
				}
				keep += int64(len(in.Bytes())) + 1
			}
			err = errors.Join(in.Err(), f.Close())
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fail(err)
		}
	}
	f, err := bounded.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return fail(err)
	}
	if err = f.Truncate(keep); err == nil {
		_, err = f.Seek(keep, 0)
	}
	if err != nil {
		return fail(errors.Join(err, f.Close()))
	}
	return &metricsFile{f}, nil
}

// Line is a logged step as metrics.jsonl has it.
func (p Progress) Line() MetricsLine {
	return MetricsLine{
		Step: p.Step, Epoch: p.Epoch, Loss: p.Stats.Loss, Figures: p.Stats.Figures(), Alpha: p.Alpha, LR: p.LR, M: p.M,
		ImagesPerSecond: p.ImagesPerSecond, DataWait: p.WaitFraction, PhaseMS: p.Phases,
	}
}

func (m *metricsFile) write(p Progress) error {
	if m == nil {
		return nil
	}
	raw, err := json.Marshal(p.Line())
	if err == nil {
		_, err = m.f.Write(append(raw, '\n'))
	}
	if err != nil {
		return errs.New("write metrics", m.f.Name(), "free some space", errs.BecauseErr(errs.ErrUnavailable, err))
	}
	return nil
}

func (m *metricsFile) Close() error {
	if m == nil {
		return nil
	}
	return m.f.Close()
}
