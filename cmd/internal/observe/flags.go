package observe

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"

	"resslt/schemas/errs"

	"github.com/spf13/pflag"
)

// Flags are the flags for metrics and the log.
type Flags struct {
	Metrics string // address of /metrics, /healthz and /readyz; "" for none
	format  string
	level   string
}

// Register adds the flags to fs.
func (f *Flags) Register(fs *pflag.FlagSet) {
	fs.StringVar(&f.Metrics, "metrics", "", "`address` for /metrics, /healthz and /readyz, e.g. 127.0.0.1:9464 (default: none)")
	fs.StringVar(&f.format, "log", "text", "`form` of the log on standard error: text or json")
	fs.StringVar(&f.level, "log-level", "info", "lowest `level` that is logged: debug, info, warn, error")
}

// Logger returns a logger to w in the form that the flags select. Where that is not a
// terminal's, it becomes the process's own, so that what libraries print by packages log and
// slog has the same form. Errors wrap errs.ErrUsage: an unknown form or level.
func (f *Flags) Logger(w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(f.level)); err != nil {
		return nil, errs.New("--log-level", fmt.Sprintf("%q", f.level), "give debug, info, warn or error", errs.ErrUsage)
	}
	o := &slog.HandlerOptions{Level: level}
	var log *slog.Logger
	switch f.format {
	case "text":
		log = slog.New(slog.NewTextHandler(w, o))
	case "json":
		log = slog.New(slog.NewJSONHandler(w, o))
	default:
		return nil, errs.New("--log", fmt.Sprintf("%q", f.format), "give text or json", errs.ErrUsage)
	}
	if !f.Plain() {
		slog.SetDefault(log)
	}
	return log, nil
}

// Plain reports whether the log has its defaults, which are for a terminal.
func (f *Flags) Plain() bool { return f.format == "text" && f.level == "info" }

// Lines returns a writer that logs each line, so that a collector gets text that is meant
// for a terminal. It skips blank lines and buffers a line until it ends. It is safe for
// concurrent use.
func Lines(log *slog.Logger) io.Writer { return &lines{log: log} }

type lines struct {
	log *slog.Logger

	mu  sync.Mutex
	buf []byte // an incomplete line; guarded by mu
}

// maxLine bounds the buffered line, in bytes.
const maxLine = 64 << 10

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf = append(l.buf, p...)
	for {
		i := bytes.IndexByte(l.buf, '\n')
		if i < 0 && len(l.buf) < maxLine {
			return len(p), nil
		}
		if i < 0 {
			i = len(l.buf) - 1
		}
		text := strings.TrimSpace(string(l.buf[:i+1]))
		l.buf = l.buf[i+1:]
		if warning, ok := strings.CutPrefix(text, "warning: "); ok {
			l.log.LogAttrs(context.Background(), slog.LevelWarn, warning)
		} else if text != "" {
			l.log.LogAttrs(context.Background(), slog.LevelInfo, text)
		}
	}
}
