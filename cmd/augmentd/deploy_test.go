package main

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// TestDeployFlags: what deploy's files start augmentd with are flags that it has, and
// it serves its metrics where they are looked for.
func TestDeployFlags(t *testing.T) {
	c := newCommand()
	flags := c.Flags()
	flags.AddFlagSet(c.PersistentFlags())
	name := regexp.MustCompile(`--([a-z][a-z-]*)`)
	for file, call := range map[string]string{
		"kubernetes/augmentd.yaml": `(?s)args:.*?ports:`,
		"systemd/augmentd.service": `ExecStart=.*`,
		"compose.yaml":             `\["--nats".*\]`,
		"Dockerfile":               `(?s)/augmentd"\]\nCMD .*?\n`,
	} {
		raw, err := os.ReadFile(filepath.Join("../../deploy", file))
		if err != nil {
			t.Fatal(err)
		}
		found := name.FindAllSubmatch([]byte(regexp.MustCompile(call).FindString(string(raw))), -1)
		if len(found) == 0 {
			t.Errorf("%s does not start augmentd", file)
		}
		for _, f := range found {
			if flags.Lookup(string(f[1])) == nil {
				t.Errorf("%s: augmentd has no flag --%s", file, f[1])
			}
		}
		if file != "systemd/augmentd.service" && !regexp.MustCompile(`--metrics(=|", ")":?9464|--metrics=:9464|--metrics", ":9464`).Match(raw) {
			t.Errorf("%s: no metrics on port 9464", file)
		}
	}
}
