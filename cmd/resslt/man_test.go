package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Every verb has a manual page with its flags and examples, which the readers of such pages find
// nothing wrong with, and which does not depend on when it was made.
func TestManualPages(t *testing.T) {
	dir, again := t.TempDir(), t.TempDir()
	for to, date := range map[string]string{dir: "1700000000", again: "1700000001"} {
		for _, name := range []string{"resslt", "augmentd"} {
			c := command(t, name, "man", to)
			c.Env = append(c.Env, "SOURCE_DATE_EPOCH="+date)
			if o := c.run(); o.code != 0 {
				t.Fatalf("%s: exit %d: %s", name, o.code, o.stderr)
			}
		}
	}
	pages := 0
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		if !c.IsAvailableCommand() && c.HasParent() {
			return
		}
		pages++
		name := strings.ReplaceAll(c.CommandPath(), " ", "-") + ".1"
		raw, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Error(err)
			return
		}
		if other, err := os.ReadFile(filepath.Join(again, name)); err != nil || string(other) != string(raw) {
			t.Errorf("%s is another when it is made again: %v", name, err)
		}
		text := strings.ReplaceAll(string(raw), `\-`, "-")
		if !strings.Contains(text, `"Nov 2023"`) || strings.Contains(text, "Auto generated") {
			t.Errorf("%s has another date", name)
		}
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden && f.Name != "help" && f.Name != "version" && !strings.Contains(text, "--"+f.Name) {
				t.Errorf("%s lacks --%s", name, f.Name)
			}
		})
		for _, sub := range c.Commands() {
			visit(sub)
		}
	}
	visit(newRootCommand())
	if pages < 50 {
		t.Errorf("%d pages", pages)
	}
	lint(t, dir)
}

// lint has man or mandoc read the pages.
func lint(t *testing.T, dir string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.1"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%q: %v", files, err)
	}
	if groff, err := exec.LookPath("groff"); err == nil {
		for _, f := range files {
			c := exec.CommandContext(t.Context(), groff, "-man", "-Kutf8", "-Tutf8", "-ww", "-z", f)
			if out, err := c.CombinedOutput(); err != nil || len(out) > 0 {
				t.Errorf("%s: %v: %s", filepath.Base(f), err, out)
			}
		}
	} else {
		t.Log("no groff here")
	}
	if mandoc, err := exec.LookPath("mandoc"); err == nil {
		out, _ := exec.CommandContext(t.Context(), mandoc, append([]string{"-Tlint", "-Werror"}, files...)...).CombinedOutput() // its exit code is the level
		if len(out) > 0 {
			t.Errorf("mandoc: %s", out)
		}
	}
}
