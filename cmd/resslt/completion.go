package main

import (
	"strings"

	"github.com/spf13/cobra"

	"resslt/schemas/bounded"
	"resslt/schemas/errs"
)

// shells are those that there is a script for.
var shells = []string{"bash", "zsh", "fish", "powershell"}

func newCompletionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "completion SHELL",
		Short: "have the shell complete verbs, flags and their values",
		Long: `completion prints a script for a shell: ` + strings.Join(shells, ", ") + `. With it the Tab key
completes verbs, flags and their values: recipes, runs, policies, data, backbones, and what
--set takes. Install it once; a new shell has it then:

  bash    mkdir -p ~/.local/share/bash-completion/completions
          resslt completion bash > ~/.local/share/bash-completion/completions/resslt
          (it needs the package bash-completion)
  zsh     resslt completion zsh > "${fpath[1]}/_resslt"
          (with  autoload -U compinit; compinit  in ~/.zshrc)
  fish    resslt completion fish > ~/.config/fish/completions/resslt.fish

For one session of bash:  source <(resslt completion bash)`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			root, out := c.Root(), c.OutOrStdout()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(out, true)
			case "zsh":
				return root.GenZshCompletion(out)
			case "fish":
				return root.GenFishCompletion(out, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(out)
			}
			return errs.New("completion", args[0], bounded.Suggest(args[0], shells)+"give one of "+strings.Join(shells, ", "), errs.Because(errs.ErrUsage, "there is no script for that shell"))
		},
	}
}
