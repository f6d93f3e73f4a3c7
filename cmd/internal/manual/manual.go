package manual

import (
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
	"github.com/spf13/pflag"

	"resslt/cmd/internal/version"
	"resslt/schemas/durable"
	"resslt/schemas/errs"
)

// Command is the hidden verb that writes a program's pages.
func Command() *cobra.Command {
	return &cobra.Command{
		Use: "man FOLDER", Short: "write the manual pages", Hidden: true, Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			date, err := date(os.Getenv("SOURCE_DATE_EPOCH"), version.Parts().Date)
			if err != nil {
				return err
			}
			return Write(c.Root(), args[0], date)
		},
	}
}

// date is that of the pages: the source's, else the commit's, else none that changes.
func date(epoch, commit string) (time.Time, error) {
	if epoch != "" {
		n, err := strconv.ParseInt(epoch, 10, 64)
		if err != nil {
			return time.Time{}, errs.New("", "SOURCE_DATE_EPOCH="+epoch, "give seconds since 1970", errs.ErrUsage)
		}
		return time.Unix(n, 0).UTC(), nil
	}
	if t, err := time.Parse(time.DateOnly, commit); err == nil {
		return t, nil
	}
	return time.Unix(0, 0).UTC(), nil
}

// Write writes the pages of a program's verbs to a folder. It changes the texts of the commands, which
// are of no other use afterwards.
func Write(root *cobra.Command, dir string, at time.Time) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return errs.New("make folder", dir, "choose another", errs.BecauseErr(errs.ErrUnavailable, err))
	}
	root.DisableAutoGenTag = true // it has the day on which it was made
	escaped := map[*pflag.Flag]bool{}
	var visit func(c *cobra.Command) error
	visit = func(c *cobra.Command) error {
		c.InitDefaultHelpFlag()
		c.Long = markdown(c.Long)
		c.Short = escape(c.Short)
		texts := func(f *pflag.Flag) {
			if !escaped[f] {
				escaped[f] = true
				_, f.Usage = pflag.UnquoteUsage(f)
				f.Usage = escape(f.Usage)
			}
		}
		c.NonInheritedFlags().VisitAll(texts)
		c.InheritedFlags().VisitAll(texts)
		for _, sub := range c.Commands() {
			if sub.IsAvailableCommand() && !sub.IsAdditionalHelpTopicCommand() && sub.Name() != "help" {
				if err := visit(sub); err != nil {
					return err
				}
			}
		}
		name := strings.ReplaceAll(c.CommandPath(), " ", "-") + ".1"
		h := &doc.GenManHeader{Section: "1", Date: &at, Source: root.Name() + " " + version.Number(), Manual: root.Name()}
		return durable.Replace(filepath.Join(dir, name), func(w io.Writer) error { return doc.GenMan(c, h, w) })
	}
	return visit(root)
}

// signs mean something in Markdown.
var signs = strings.NewReplacer(`\`, `\\`, "`", "\\`", `*`, `\*`, `_`, `\_`, `<`, `\<`, `>`, `\>`, `[`, `\[`, `]`, `\]`, `#`, `\#`, `|`, `\|`, `~`, `\~`)

// escape has Markdown show a text as it is.
func escape(text string) string { return signs.Replace(text) }

// markdown is a plain text in which indented lines keep their columns.
func markdown(text string) string {
	var b strings.Builder
	inBlock := false
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, " \n")
		indented := strings.HasPrefix(line, "  ") || strings.HasPrefix(line, "\t")
		if line != "" && indented != inBlock {
			b.WriteString("\n")
			inBlock = indented
		}
		if indented {
			b.WriteString("    " + line + "\n")
		} else {
			b.WriteString(escape(line) + "\n")
		}
	}
	return strings.TrimSpace(b.String())
}
