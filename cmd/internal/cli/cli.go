package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"

	"resslt/cmd/internal/console"
	"resslt/cmd/internal/scratch"
	"resslt/schemas/bounded"
	"resslt/schemas/errs"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Exit codes.
const (
	Done        = 0
	Failed      = 1
	WrongUse    = 2
	Interrupted = 130 // on request, after a checkpoint if there was a step to save
)

// GlobalFlags adds the flags that every verb of a program has: the cache's and the form of standard
// error.
func GlobalFlags(root *cobra.Command) {
	CacheFlags(root)
	console.Register(root.PersistentFlags())
	Choices(root.PersistentFlags(), console.Forms, "log")
	Choices(root.PersistentFlags(), console.Levels, "log-level")
}

// ownLog marks commands that give standard error its form themselves.
const ownLog = "resslt-own-log"

// OwnLog says that a command writes to standard error as it is, for it opens the console.Form itself.
func OwnLog(c *cobra.Command) {
	if c.Annotations == nil {
		c.Annotations = map[string]string{}
	}
	c.Annotations[ownLog] = ""
}

// LeaveScratch is the annotation of a command before which the temporary folders of killed
// processes are not removed.
const LeaveScratch = "resslt-leave-scratch"

// Main runs the command and returns the program's exit code. The first SIGINT, SIGTERM or
// SIGHUP cancels the command's context, for an orderly end; see onSignals for those after it.
func Main(root *cobra.Command) int {
	var quiet atomic.Bool
	ctx, stop := onSignals(root.Name(), os.Stderr, &quiet)
	defer stop()
	Prepare(root)
	if Completing(os.Args) {
		CompleteChoices(root)
	}
	root.SetOut(&output{w: os.Stdout})
	root.PersistentPreRunE = func(c *cobra.Command, _ []string) error {
		form := console.FormOf(c.Flags())
		quiet.Store(!form.Plain())
		lines, _, err := form.Open(os.Stderr)
		if err != nil {
			return err
		}
		warnings.Store(&lines)
		if _, own := c.Annotations[ownLog]; !own {
			root.SetErr(lines)
		}
		if _, leave := c.Annotations[LeaveScratch]; !leave {
			scratch.Sweep()
		}
		return nil
	}
	err := root.ExecuteContext(ctx)
	if err == nil {
		return Done
	}
	// A cancellation that nobody requested, for example by a lost connection, is a failure.
	if ctx.Err() != nil && errors.Is(err, context.Canceled) && !errors.Is(err, errs.ErrInterrupted) {
		err = errs.New("", "stopped on request", "run the same command again", errs.Because(errs.ErrInterrupted, "before there was anything to save"))
	}
	fmt.Fprintln(os.Stderr, root.Name()+": "+Line(err))
	return Code(err)
}

// Prepare turns cobra's own errors into usage errors, one line and exit code 2, and has the values of flags
// checked: numbers, and words of a list.
func Prepare(c *cobra.Command) {
	c.SilenceErrors, c.SilenceUsage = true, true
	c.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		var known *errs.Error
		if errors.As(err, &known) && errors.Is(err, errs.ErrUsage) { // of the flag's value, with the better hint
			return errs.New(c.CommandPath()+": "+known.Op, known.Where, known.Hint, known.Err)
		}
		hint := "see `" + c.CommandPath() + " --help`"
		var unknown *pflag.NotExistError
		if errors.As(err, &unknown) && len(unknown.GetSpecifiedName()) > 1 {
			hint = suggestFlag(c, unknown.GetSpecifiedName()) + hint
		}
		return errs.New("", c.CommandPath(), hint, errs.BecauseErr(errs.ErrUsage, err))
	})
	args := c.Args
	if args == nil {
		args = cobra.NoArgs
	}
	c.Args = func(c *cobra.Command, a []string) error {
		if err := errors.Join(checkNumbers(c), checkChoices(c)); err != nil {
			return err
		}
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
		Prepare(sub)
	}
}

// suggestFlag is the flag that somebody may have meant, for a hint.
func suggestFlag(c *cobra.Command, name string) string {
	known := []string{"help"}
	c.Flags().VisitAll(func(f *pflag.Flag) { known = append(known, f.Name) })
	near := strings.TrimPrefix(bounded.Suggest(name, known), "did you mean ")
	if near == "" {
		return ""
	}
	return "did you mean --" + near
}

// Line is the error on one line, with one hint.
func Line(err error) string {
	return errs.OneHint(strings.Join(strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' || r == '\r' }), "; "))
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

// Progress returns a function that writes lines such as "indexing 10 %" to w, every 5 %,
// if there is much to do.
func Progress(w io.Writer, doing string) func(done, total int64) {
	last := int64(-1)
	return func(done, total int64) {
		const worthReporting = 256 << 20 // bytes; less takes a moment
		if total < worthReporting {
			return
		}
		if percent := done * 100 / total; percent/5 != last/5 || last < 0 {
			last = percent
			fmt.Fprintf(w, "%s %d %%\n", doing, percent)
		}
	}
}
