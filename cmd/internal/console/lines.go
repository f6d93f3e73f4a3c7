package console

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// Quiet is w without what is neither a warning nor an error: the lines that do not begin so are
// dropped.
func Quiet(w io.Writer) io.Writer {
	return &lineWriter{do: func(line []byte) error {
		text := bytes.TrimSpace(line)
		if !bytes.HasPrefix(text, []byte("warning: ")) && !bytes.HasPrefix(text, []byte("error: ")) {
			return nil
		}
		_, err := w.Write(line)
		return err
	}}
}

// Stamped is w with the time before every line that is not empty: RFC 3339, UTC, to the second.
func Stamped(w io.Writer, now func() time.Time) io.Writer {
	return &lineWriter{do: func(line []byte) error {
		if len(bytes.TrimSpace(line)) == 0 {
			return nil
		}
		_, err := w.Write(append([]byte(now().UTC().Format(time.RFC3339)+" "), line...))
		return err
	}}
}

// Lines returns a writer that logs each line, so that a collector gets text that is meant for a
// terminal. It skips blank lines.
func Lines(log *slog.Logger) io.Writer {
	return &lineWriter{do: func(line []byte) error {
		text := strings.TrimSpace(string(line))
		if warning, ok := strings.CutPrefix(text, "warning: "); ok {
			log.LogAttrs(context.Background(), slog.LevelWarn, warning)
		} else if text != "" {
			log.LogAttrs(context.Background(), slog.LevelInfo, text)
		}
		return nil
	}}
}

// maxLine bounds the line that is waited for, bytes: a longer one is handed on in parts.
const maxLine = 64 << 10

// lineWriter hands on whole lines. It is safe for concurrent use.
type lineWriter struct {
	do func(line []byte) error

	mu  sync.Mutex
	buf []byte // of a line that has not ended; guarded by mu
}

func (l *lineWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf = append(l.buf, p...)
	for {
		end := bytes.IndexByte(l.buf, '\n')
		if end < 0 && len(l.buf) < maxLine {
			return len(p), nil
		}
		if end < 0 {
			end = len(l.buf) - 1
		}
		if err := l.do(l.buf[:end+1]); err != nil {
			return 0, err
		}
		l.buf = l.buf[end+1:]
	}
}
