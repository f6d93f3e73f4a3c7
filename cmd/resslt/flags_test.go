package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"resslt/schemas/errs"
	"resslt/schemas/errs/errstest"
)

// zeros are flags whose 0 means something though it is not their default.
var zeros = map[string]bool{"resslt bench step --warmup": true, "resslt sweep --workers": true}

// Every flag of every verb that takes a number or a time refuses what can mean nothing.
func TestNumbersAreChecked(t *testing.T) {
	checked := 0
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		c.Flags().VisitAll(func(f *pflag.Flag) {
			values := []string{"-1"}
			switch kind := f.Value.Type(); {
			case strings.HasSuffix(kind, "Slice"): // their verbs check these
				return
			case kind == "duration":
				values = []string{"-1s", "5ms", "1ns"}
			case strings.HasPrefix(kind, "float"):
				values = append(values, "NaN", "-Inf")
			case !strings.HasPrefix(kind, "int") && !strings.HasPrefix(kind, "uint"):
				return
			}
			if name := c.CommandPath() + " --" + f.Name; f.DefValue != "0" && f.DefValue != "0s" && !zeros[name] && !strings.HasPrefix(f.Value.Type(), "uint") {
				values = append(values, "0")
			}
			for _, v := range values {
				checked++
				args := slices.Concat(strings.Fields(c.CommandPath())[1:], []string{"--" + f.Name + "=" + v})
				if why := errstest.Differs(execute(t, args...), errs.ErrUsage, "--"+f.Name); why != "" {
					t.Errorf("%s: %s", strings.Join(args, " "), why)
				}
			}
		})
		for _, sub := range c.Commands() {
			visit(sub)
		}
	}
	visit(newRootCommand())
	if checked < 150 {
		t.Errorf("%d values were checked", checked)
	}
}

// A reader that has gone is no error: what a verb prints after that is lost, its work is not.
func TestReaderGoes(t *testing.T) {
	cache := t.TempDir()
	verbs := map[string][]string{
		"help": {"--help"}, "version": {"--version"}, "recipe show": {"recipe", "show", "smoke"}, "recipe ls": {"recipe", "ls"}, "convert": {"convert", "--help"},
		"shards ls": {"shards", "ls", "--data", badPictures(t), "--samples", "20", "--json", "--cache-dir", cache},
	}
	if shim() != "" {
		if _, err := os.Stat(shim()); err == nil {
			verbs["run"] = quick(filepath.Join(t.TempDir(), "run"), "--set", "epochs=1")
		}
	}
	for name, args := range verbs {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		c := command(t, "resslt", args...)
		c.Stdout = w
		o := c.run()
		w.Close()
		if o.code != 0 || strings.Contains(o.stderr, "broken pipe") {
			t.Errorf("%s: exit %d: %s", name, o.code, o.stderr)
		}
	}
	// An error is one, whoever reads.
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	defer w.Close()
	c := command(t, "resslt", "recipe", "show", "none")
	c.Stdout = w
	if o := c.run(); o.code == 0 {
		t.Errorf("exit 0: %s", o.stderr)
	}
}
