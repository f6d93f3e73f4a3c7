package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"resslt/schemas/errs"

	"github.com/spf13/cobra"
)

// Exit codes.
const (
	Done        = 0
	Failed      = 1
	WrongUse    = 2
	Interrupted = 130 // on request, after a checkpoint where there was a step to save
)

// Main runs the command and gives the program's exit code. The first SIGINT or
// SIGTERM cancels the command's context, which stops it in good order; the
// second ends the process at once.
func Main(root *cobra.Command) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	go func() {
		<-ctx.Done()
		stop() // back to the default: a second signal kills
	}()
	prepare(root)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return Done
	}
	// What was cancelled where nobody asked for an end, by a lost connection say, is a failure.
	if ctx.Err() != nil && errors.Is(err, context.Canceled) && !errors.Is(err, errs.ErrInterrupted) {
		err = errs.New("", "stopped on request", "run the same command again", errs.Because(errs.ErrInterrupted, "before there was anything to save"))
	}
	fmt.Fprintln(os.Stderr, root.Name()+": "+Line(err))
	return Code(err)
}

// prepare makes cobra's own complaints ours: one line, exit code 2.
func prepare(c *cobra.Command) {
	c.SilenceErrors, c.SilenceUsage = true, true
	c.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return errs.New("", c.CommandPath(), "see `"+c.CommandPath()+" --help`", errs.BecauseErr(errs.ErrUsage, err))
	})
	args := c.Args
	if args == nil {
		args = cobra.NoArgs
	}
	c.Args = func(c *cobra.Command, a []string) error {
		if err := args(c, a); err != nil {
			hint := "see `" + c.CommandPath() + " --help`"
			if near := c.SuggestionsFor(strings.Join(a, " ")); len(near) > 0 {
				hint = "did you mean " + strings.Join(near, " or ") + "?"
			}
			return errs.New("", c.CommandPath()+" "+strings.Join(a, " "), hint, errs.Because(errs.ErrUsage, "unknown command or too many arguments"))
		}
		return nil
	}
	if c.HasSubCommands() && c.RunE == nil && c.Run == nil {
		c.SuggestionsMinimumDistance = 2
		c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
	}
	for _, sub := range c.Commands() {
		prepare(sub)
	}
}

// Line is the error on one line.
func Line(err error) string {
	return strings.Join(strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
}

// Code is the exit code for an error.
func Code(err error) int {
	switch {
	case err == nil:
		return Done
	case errors.Is(err, errs.ErrInterrupted):
		return Interrupted
	case errors.Is(err, errs.ErrUsage):
		return WrongUse
	}
	return Failed
}

// Version is the build's version, from the module or the commit.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			v += " " + s.Value[:12]
		}
	}
	return v + " " + info.GoVersion
}

// Progress writes "doing 12 %" lines to w while an index is built: it speaks
// only where the work is long, and ends its line.
func Progress(w io.Writer, doing string) func(done, total int64) {
	last := int64(-1)
	return func(done, total int64) {
		const worthSaying = 256 << 20 // bytes; less is hashed in a blink
		if total < worthSaying {
			return
		}
		if percent := done * 100 / total; percent/5 != last/5 || last < 0 {
			last = percent
			fmt.Fprintf(w, "%s %d %%\n", doing, percent)
		}
	}
}
