package cli

import (
	"errors"
	"slices"
	"strings"

	"resslt/schemas/bounded"
	"resslt/schemas/errs"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// choices marks flags that take the words of a list.
const choices = "resslt-choices"

// Choices has flags take nothing but these words, or their default: another is refused with what
// was probably meant, and shells complete them. A flag of several values takes several.
func Choices(fs *pflag.FlagSet, words []string, names ...string) {
	for _, name := range names {
		f := fs.Lookup(name)
		if f.Annotations == nil {
			f.Annotations = map[string][]string{}
		}
		f.Annotations[choices] = words
	}
}

// checkChoices refuses words that are in no list.
func checkChoices(c *cobra.Command) error {
	var bad []error
	c.Flags().Visit(func(f *pflag.Flag) {
		words := f.Annotations[choices]
		given := []string{f.Value.String()}
		if s, ok := f.Value.(pflag.SliceValue); ok {
			given = s.GetSlice()
		}
		for _, w := range given {
			if words != nil && w != f.DefValue && !slices.Contains(words, w) {
				bad = append(bad, errs.New("", c.CommandPath()+" --"+f.Name+" "+w, bounded.Suggest(w, words)+"give one of "+strings.Join(words, ", "), errs.ErrUsage))
			}
		}
	})
	return errors.Join(bad...)
}

// Completing reports whether a shell asks what may follow. Nobody else needs completions, and to
// register them takes a third of the time of --help.
func Completing(args []string) bool {
	return len(args) > 1 && (args[1] == cobra.ShellCompRequestCmd || args[1] == cobra.ShellCompNoDescRequestCmd)
}

// CompleteChoices has shells complete the words of the flags of a command and those below it.
func CompleteChoices(c *cobra.Command) {
	for _, fs := range []*pflag.FlagSet{c.LocalNonPersistentFlags(), c.PersistentFlags()} {
		fs.VisitAll(func(f *pflag.Flag) {
			words := f.Annotations[choices]
			if words == nil {
				return
			}
			_, several := f.Value.(pflag.SliceValue)
			_ = c.RegisterFlagCompletionFunc(f.Name, func(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
				if !several {
					return words, cobra.ShellCompDirectiveNoFileComp
				}
				before := typed[:strings.LastIndexByte(typed, ',')+1]
				out := make([]string, len(words))
				for i, w := range words {
					out[i] = before + w
				}
				return out, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
			}) // it fails where the flag has one already, which is then the better one
		})
	}
	for _, sub := range c.Commands() {
		CompleteChoices(sub)
	}
}
