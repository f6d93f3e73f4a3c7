package train

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
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

// MetricsFile is the file of a run's folder with a line for each logged step.
const MetricsFile = "metrics.jsonl"

// MetricsTail reads a metrics.jsonl that is still being written, each line once. One goroutine
// uses it.
type MetricsTail struct {
	Part int64 // bytes after which Read gives what it has, and a later one the rest; 0: all at once

	path string
	file fs.FileInfo // as it was read to its end; nil before
	at   int64       // bytes of the lines that were given
	last []byte      // the last of these: a run that is resumed writes others in its place
}

// FollowMetrics gives the tail of the file at path, which need not be there yet.
func FollowMetrics(path string) *MetricsTail { return &MetricsTail{path: path} }

// Read gives the lines that have come since it was called last. rewritten says that the file is
// not the one that was read before, or was cut short: earlier lines count no more, and all that
// there are are given. A file that is not there has none.
func (t *MetricsTail) Read() (lines []MetricsLine, rewritten bool, err error) {
	info, err := os.Stat(t.path)
	if errors.Is(err, fs.ErrNotExist) {
		rewritten = t.file != nil || t.at > 0
		*t = MetricsTail{Part: t.Part, path: t.path}
		return nil, rewritten, nil
	}
	fail := func(err error) ([]MetricsLine, bool, error) {
		return nil, false, errs.New("read metrics", t.path, "make it readable", errs.BecauseErr(errs.ErrUnavailable, err))
	}
	if err != nil {
		return fail(err)
	}
	if t.file != nil && os.SameFile(t.file, info) && info.Size() == t.file.Size() && info.ModTime().Equal(t.file.ModTime()) {
		return nil, false, nil
	}
	f, err := bounded.Open(t.path)
	if err != nil {
		return fail(err)
	}
	defer f.Close()
	if now, err := f.Stat(); err == nil {
		info = now
	}
	if t.file != nil && !os.SameFile(t.file, info) || !t.continues(f) {
		rewritten, t.at, t.last = true, 0, nil
	}
	if _, err := f.Seek(t.at, io.SeekStart); err != nil {
		return fail(err)
	}
	t.file = nil
	end := t.at + t.Part
	for in := bufio.NewReaderSize(f, bufio.MaxScanTokenSize); t.Part == 0 || t.at < end; {
		raw, err := in.ReadSlice('\n')
		var l MetricsLine
		if err != nil || json.Unmarshal(raw, &l) != nil {
			t.file = info // the rest comes later, or is no line
			break
		}
		lines, t.at, t.last = append(lines, l), t.at+int64(len(raw)), append(t.last[:0], raw...)
	}
	return lines, rewritten, nil
}

// continues reports whether the last line that was given is still where it was.
func (t *MetricsTail) continues(f *os.File) bool {
	now := make([]byte, len(t.last))
	_, err := f.ReadAt(now, t.at-int64(len(t.last)))
	return err == nil && bytes.Equal(now, t.last) || len(now) == 0
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
