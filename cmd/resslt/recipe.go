package main

import (
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"resslt/augment"
	"resslt/cmd/internal/cores"
	"resslt/cmd/internal/pipeline"
	"resslt/cmd/internal/session"
	"resslt/schemas/errs"
	"resslt/train"
	"resslt/train/recipe"
)

func newRecipeCommand() *cobra.Command {
	c := &cobra.Command{Use: "recipe", Short: "list, show and check recipes"}
	ls := &cobra.Command{
		Use: "ls", Short: "list the embedded recipes and sweeps",
		RunE: func(c *cobra.Command, _ []string) error {
			w := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "RECIPE\tOBJECTIVE\tBACKBONE\tBATCH\tEPOCHS\tCLAIM")
			for _, name := range recipe.Names() {
				r, err := recipe.Load(name)
				if err != nil {
					return err
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%s\n", name, r.Objective, network(r), r.BatchSize, r.Epochs, r.Claim)
			}
			fmt.Fprintln(w, "\nSWEEP\tRECIPE\t\t\tCELLS\tCLAIM")
			for _, name := range recipe.SweepNames() {
				s, err := recipe.LoadSweep(name)
				if err != nil {
					return err
				}
				fmt.Fprintf(w, "%s\t%s\t\t\t%d\t%s\n", name, s.Recipe, len(s.Cells()), s.Claim)
			}
			return w.Flush()
		},
	}
	var set []string
	show := &cobra.Command{
		Use: "show NAME|FILE", Short: "print a recipe, resolved: every key with its value", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			r, err := resolveToShow(args[0], set)
			if err != nil {
				return err
			}
			_, err = c.OutOrStdout().Write(r.YAML())
			return err
		},
	}
	check := &cobra.Command{
		Use: "check NAME|FILE", Short: "check a recipe and name what is wrong with it", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			r, err := loadRecipe(args[0], "", set)
			if err != nil {
				return err
			}
			policy, err := pipeline.Policy(r.Policy, r.ImageSize)
			if err != nil {
				return err
			}
			format, _, _ := strings.Cut(r.Data, ":")
			if err := pipeline.CheckViews(r, format, policy.ViewSpecs()); err != nil {
				return err
			}
			if _, err := augment.EngineByFamily(r.Engine); err != nil {
				return err
			}
			if err := train.Check(r); errors.Is(err, errs.ErrUnavailable) {
				fmt.Fprintln(c.OutOrStdout(), "warning: not for this machine: "+err.Error())
			} else if err != nil {
				return err
			}
			for _, w := range r.Warnings() {
				fmt.Fprintln(c.OutOrStdout(), "warning: "+w)
			}
			fmt.Fprintln(c.OutOrStdout(), r.Name+": sound")
			return nil
		},
	}
	for _, sub := range []*cobra.Command{show, check} {
		sub.Flags().StringArrayVar(&set, "set", nil, "override a recipe field, `key=value`; may be repeated")
	}
	c.AddCommand(ls, show, check)
	return c
}

// resolveToShow resolves a recipe, also one for one's own images, which names none.
func resolveToShow(name string, set []string) (*recipe.Recipe, error) {
	r, err := recipe.Load(name)
	if err != nil {
		return nil, err
	}
	const none = "none:"
	yours := r.Data == ""
	if yours {
		r.Data = none
	}
	if err := override(r, "", set); err != nil {
		return nil, err
	}
	if yours && r.Data == none {
		r.Data = ""
	}
	return r, nil
}

// network is the backbone, with its width where that is not the published one.
func network(r *recipe.Recipe) string {
	if r.Width == 64 {
		return r.Backbone
	}
	return fmt.Sprintf("%s w%d", r.Backbone, r.Width)
}

// loadRecipe loads, overrides and resolves.
func loadRecipe(name, data string, set []string) (*recipe.Recipe, error) {
	r, err := recipe.Load(name)
	if err != nil {
		return nil, err
	}
	return r, override(r, data, set)
}

// override overrides and resolves.
func override(r *recipe.Recipe, data string, set []string) error {
	return session.ResolveRecipe(r, data, set, cores.Here())
}

// resolveHere fills a recipe's defaults from this machine.
func resolveHere(r *recipe.Recipe) error { return r.Resolve(pipeline.Host(cores.Here(), r.Data)) }
