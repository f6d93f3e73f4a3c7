package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestDeployFlags: what deploy's files start resslt with are flags that it has.
func TestDeployFlags(t *testing.T) {
	root := newRootCommand()
	train, _, err := root.Find([]string{"train"})
	if err != nil {
		t.Fatal(err)
	}
	checkFlags(t, train, "kubernetes/train.yaml", `resslt train (?s:.*?)--resume`)
	checkFlags(t, train, "kubernetes/pytorchjob.yaml", `resslt train (?s:.*?)--resume`)
	checkFlags(t, train, "systemd/resslt-train@.service", `resslt train .*`)
	checkFlags(t, train, "compose.yaml", `\["train".*\]`)
	keys, _, err := root.Find([]string{"keys"})
	if err != nil {
		t.Fatal(err)
	}
	checkFlags(t, keys, "nats/farm.conf", `resslt keys .*`)
	checkFlags(t, keys, "kubernetes/nats-values.yaml", `resslt keys .*`)
	if raw, err := os.ReadFile("../../docs/operations.md"); err != nil {
		t.Fatal(err)
	} else {
		for _, m := range regexp.MustCompile("resslt (keys|train|status|doctor) [^`\n]*").FindAllStringSubmatch(string(raw), -1) {
			verb, _, err := root.Find([]string{m[1]})
			if err != nil {
				t.Fatal(err)
			}
			known(t, verb, "docs/operations.md", m[0])
		}
	}
}

var flag = regexp.MustCompile(`--([a-z][a-z-]*)`)

func checkFlags(t *testing.T, c *cobra.Command, file, call string) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("../../deploy", file))
	if err != nil {
		t.Fatal(err)
	}
	text := regexp.MustCompile(call).FindString(string(raw))
	if text == "" {
		t.Fatalf("%s does not call %s", file, c.Name())
	}
	known(t, c, file, text)
}

func known(t *testing.T, c *cobra.Command, file, call string) {
	t.Helper()
	found := flag.FindAllStringSubmatch(call, -1)
	if strings.Contains(call, "--") && len(found) == 0 {
		t.Errorf("%s: no flags in %q", file, call)
	}
	for _, f := range found {
		if c.Flags().Lookup(f[1]) == nil && c.InheritedFlags().Lookup(f[1]) == nil {
			t.Errorf("%s: %s has no flag --%s", file, c.Name(), f[1])
		}
	}
}

// Containers run as a user without a home: each says where the indexes of data sets go, a folder
// that it can write to.
func TestDeployHasCache(t *testing.T) {
	for file, programs := range map[string]int{"Dockerfile": 2, "compose.yaml": 1, "kubernetes/train.yaml": 1, "kubernetes/pytorchjob.yaml": 1} {
		raw, err := os.ReadFile(filepath.Join("../../deploy", file))
		if err != nil {
			t.Fatal(err)
		}
		if n := len(regexp.MustCompile(`XDG_CACHE_HOME[=:]|XDG_CACHE_HOME, value:`).FindAll(raw, -1)); n != programs {
			t.Errorf("%s names a cache for %d programs of %d", file, n, programs)
		}
	}
	// The same as a process: no home, another user's folder to be in.
	needTorch(t)
	needData(t)
	cache := t.TempDir()
	c := command(t, "resslt", "shards", "ls", "--data", badPictures(t))
	c.Env = append(c.Env, "HOME=/", "RESSLT_CACHE_DIR=", "XDG_CACHE_HOME="+cache)
	if o := c.run(); o.code != 0 || strings.Contains(o.stderr, "index") {
		t.Errorf("exit %d: %s", o.code, o.stderr)
	}
	if found, err := filepath.Glob(filepath.Join(cache, "resslt", "index", "*")); err != nil || len(found) == 0 {
		t.Errorf("no index in XDG_CACHE_HOME: %v", err)
	}
}
