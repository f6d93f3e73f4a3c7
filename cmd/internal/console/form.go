package console

import (
	"fmt"
	"io"
	"log/slog"
	"time"

	"resslt/schemas/bounded"
	"resslt/schemas/errs"

	"github.com/spf13/pflag"
)

// Forms and Levels are the words of --log and --log-level, their defaults first.
var (
	Forms  = []string{"text", "json"}
	Levels = []string{"info", "debug", "warn", "error"}
)

// Form is what the flags say. Zero is plain text for people.
type Form struct {
	Quiet      bool
	Timestamps bool
	format     string // "" is text
	level      string // "" is info
}

// Register adds the flags to fs.
func Register(fs *pflag.FlagSet) {
	fs.Bool("quiet", false, "print warnings, errors and the result, and no progress")
	fs.Bool("timestamps", false, "begin every line on standard error with the time, UTC (--log json has it in any case)")
	fs.String("log", Forms[0], "`form` of standard error: text, or json, an object for each line")
	fs.String("log-level", Levels[0], "lowest `level` that is printed: debug, info, warn, error")
}

// FormOf is what the flags of a command say; those that it does not have, nothing.
func FormOf(fs *pflag.FlagSet) (f Form) {
	if fs.Lookup("log") == nil {
		return f // another program's flags of such names mean other things
	}
	f.format, _ = fs.GetString("log") // a flag that is missing is its default
	f.level, _ = fs.GetString("log-level")
	f.Quiet, _ = fs.GetBool("quiet")
	f.Timestamps, _ = fs.GetBool("timestamps")
	return f
}

// Plain reports whether standard error is text for people, and not a log.
func (f Form) Plain() bool {
	return (f.format == "" || f.format == Forms[0]) && (f.level == "" || f.level == Levels[0])
}

// Logger returns a logger to w. Where that is a collector's, it becomes the process's own, so that
// what libraries print by packages log and slog has the same form. Errors wrap errs.ErrUsage: an
// unknown form or level.
func (f Form) Logger(w io.Writer) (*slog.Logger, error) {
	level := slog.LevelInfo
	if f.level != "" {
		if err := level.UnmarshalText([]byte(f.level)); err != nil {
			return nil, errs.New("--log-level", fmt.Sprintf("%q", f.level), bounded.Suggest(f.level, Levels)+"give debug, info, warn or error", errs.ErrUsage)
		}
	}
	if f.Quiet {
		level = max(level, slog.LevelWarn)
	}
	o := &slog.HandlerOptions{Level: level}
	var log *slog.Logger
	switch f.format {
	case "", "text":
		log = slog.New(slog.NewTextHandler(w, o))
	case "json":
		log = slog.New(slog.NewJSONHandler(w, o))
	default:
		return nil, errs.New("--log", fmt.Sprintf("%q", f.format), bounded.Suggest(f.format, Forms)+"give text or json", errs.ErrUsage)
	}
	if !f.Plain() {
		slog.SetDefault(log)
	}
	return log, nil
}

// Open returns w for what prints lines, and a logger to it for what has records. Where
// nothing is asked for, lines is w itself, which may be a terminal. Errors are Logger's.
func (f Form) Open(w io.Writer) (lines io.Writer, log *slog.Logger, err error) {
	if log, err = f.Logger(w); err != nil {
		return nil, nil, err
	}
	lines = w
	switch {
	case !f.Plain():
		return Lines(log), log, nil
	case f.Timestamps:
		lines = Stamped(lines, time.Now)
	}
	if f.Quiet {
		lines = Quiet(lines)
	}
	return lines, log, nil
}
