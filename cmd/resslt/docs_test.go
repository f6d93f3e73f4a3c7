package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// What the documents tell people to type is typed here. Every fenced block of sh, console or Python
// runs, in the order of its document and in one folder that is fresh to begin with. What a block of
// kind console shows below a command, the command must print. In a comment that no reader sees, the
// document itself says above a block what is special about it:
//
//	<!-- block: not run, REASON -->    a GPU, root, a cluster, hours; or the test that runs it
//	<!-- block: terminals -->          each line in a terminal of its own: servers, then what ends
//	<!-- block: on MACHINE -->         on that machine of the document's farm
//	<!-- block: on MACHINE, serves --> the same, a program that goes on while later blocks run
//	<!-- block: in the sources -->     a line that cannot be produced here: the code has its words
//
// `make test` shortens the training and leaves out the pages that train for minutes, `make docs-test`
// runs all of it as it stands, and `make docs-test SHORT=1` all pages with their training shortened.

// docsRun is the variable by which `make docs-test` has all documents run, with Python.
const docsRun = "RESSLT_DOCS"

// docsWhole reports whether nothing is shortened.
func docsWhole() bool { return os.Getenv(docsRun) == "all" }

// documents are the pages that people read, below the repository.
func documents(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, pattern := range []string{"*.md", "docs/*.md", "python/*.md"} {
		found, err := filepath.Glob(filepath.Join("../..", pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range found {
			raw, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			doc, err := filepath.Rel("../..", path)
			if err != nil {
				t.Fatal(err)
			}
			out[doc] = string(raw)
		}
	}
	if len(out) < 15 {
		t.Fatalf("%d documents", len(out))
	}
	return out
}

// slowDocuments are run by make docs-test alone: they train and score, as README's blocks do, which
// are run each time.
var slowDocuments = []string{"docs/quickstart.md", "docs/images.md", "docs/evaluation.md", "docs/farm.md", "docs/troubleshooting.md"}

// briefDocuments train nothing but recipe smoke, and show what the program says of a recipe's keys:
// they are never shortened.
var briefDocuments = []string{"docs/quickstart.md", "docs/troubleshooting.md"}

// TestDocuments runs the blocks.
func TestDocuments(t *testing.T) {
	for doc, text := range documents(t) {
		t.Run(doc, func(t *testing.T) {
			blocks, wrong := blocksOf(doc, text)
			for _, w := range append(wrong, strangeInBlocks(blocks)...) {
				t.Error(w)
			}
			var todo, quoted []*block
			for _, b := range blocks {
				python := b.kind == "python"
				switch {
				case b.quoted:
					quoted = append(quoted, b)
				case b.kind != "sh" && b.kind != "console" && !python:
				case b.notRun != "":
					t.Logf("%s is not run: %s", b, b.notRun)
				case os.Getenv(docsRun) == "" && (python || slices.Contains(slowDocuments, doc)):
					t.Logf("%s is not run here, but by make docs-test", b)
				default:
					todo = append(todo, b)
				}
			}
			if len(quoted) > 0 {
				code := sources(t)
				for _, b := range quoted {
					checkQuoted(t, b, code)
				}
			}
			if len(todo) > 0 {
				typeBlocks(t, todo)
			}
		})
	}
}

// typeBlocks runs a document's blocks in one folder, in namespaces of their own: the broker of
// the documents listens on a port that everybody uses, and its store has one place.
func typeBlocks(t *testing.T, blocks []*block) {
	t.Helper()
	t.Parallel()
	needTorch(t)
	needData(t)
	needPrograms(t)
	if err := exec.Command("unshare", "-nmpf", "true").Run(); err != nil {
		t.Skipf("unshare makes no namespaces here, for which it needs root: %v", err)
	}
	dir := t.TempDir()
	docsFolder(t, dir, blocks[0].doc)
	script := docsPrelude
	if names := machinesOf(blocks); len(names) > 0 {
		writeRemote(t, dir)
		script += startMachines(names)
	}
	for i, b := range blocks {
		script += fmt.Sprintf("at %s\n%s", b, typing(t, dir, blocks[:i+1]))
	}
	driver := filepath.Join(dir, ".blocks", "all.sh")
	write(t, driver, []byte(script))
	c := exec.CommandContext(t.Context(), "unshare", "-nmpf", "--mount-proc", "--kill-child", "bash", "-euo", "pipefail", driver)
	c.Dir = dir
	c.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "RESSLT_TEST") }),
		"PATH="+filepath.Join(dir, "bin")+":"+os.Getenv("PATH"), "RESSLT_TORCH="+shim(), "RESSLT_CACHE_DIR="+filepath.Join(dir, ".cache"),
		"RESSLT_REAL="+bin, "HOME="+dir, "PYTHONPATH="+abs(t, "../../python/src"))
	out, err := c.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, tail(string(out), 4000))
	}
	for i, b := range blocks {
		if b.kind == "console" {
			checkPrinted(t, b, outputOf(dir, i))
		}
	}
	for line := range strings.Lines(string(out)) {
		if strings.HasPrefix(line, "== ") {
			t.Log(strings.TrimSpace(line))
		}
	}
}

// typing writes the script of the last block, and returns the lines that run it.
func typing(t *testing.T, dir string, blocks []*block) string {
	t.Helper()
	i := len(blocks) - 1
	b := blocks[i]
	place := func(name string) string { return filepath.Join(dir, ".blocks", name) }
	on := ""
	if b.machine != "" {
		on = "on " + b.machine + " "
	}
	switch b.kind {
	case "python":
		file := place(fmt.Sprintf("%d.py", i))
		write(t, file, []byte(pythonOf(blocks)))
		return os.Getenv("RESSLT_INTEROP_PYTHON") + " " + file + "\n"
	case "console":
		file := place(fmt.Sprintf("%d.sh", i))
		write(t, file, []byte(printing(printsOf(b.text))))
		return fmt.Sprintf("%sbash -u %s >%s 2>&1\n", on, file, outputOf(dir, i))
	}
	lines := []string{b.text}
	if b.terminals {
		lines = strings.Split(strings.TrimSpace(b.text), "\n")
	}
	script := ""
	for k, line := range lines {
		file := place(fmt.Sprintf("%d-%d.sh", i, k))
		write(t, file, []byte(line+"\n"))
		if b.serves || k < len(lines)-1 {
			script += fmt.Sprintf("serve %s %s\n", file, on)
		} else {
			script += fmt.Sprintf("%sbash -euo pipefail %s\n", on, file)
		}
	}
	return script
}

// outputOf is the file for what the i-th block prints.
func outputOf(dir string, i int) string {
	return filepath.Join(dir, ".blocks", fmt.Sprintf("%d.out", i))
}

// docsPrelude begins a document's script.
const docsPrelude = `ip link set lo up
mkdir -p /tmp/resslt-nats .nats
mount --bind .nats /tmp/resslt-nats
at() { echo "== $1, after $SECONDS s" >&2; }
serve() { # FILE [on MACHINE]
  local file=$1
  shift
  "$@" bash -euo pipefail "$file" >"$file.log" 2>&1 &
  for _ in $(seq 100); do
    grep -q nats-server "$file" || return 0
    ! "$@" bash -c 'exec 3<>/dev/tcp/127.0.0.1/4222' 2>/dev/null || return 0
    sleep 0.1
  done
  cat "$file.log" >&2
  return 1
}
`

// pythonOf is the last block's program: those before it in the same document come first, as in
// a session.
func pythonOf(blocks []*block) string {
	text := ""
	for _, b := range blocks {
		if b.kind == "python" {
			text += b.text
		}
	}
	return text
}

// shortened stands in the place of bin/resslt: what trains does little, of a small network.
const shortened = `#!/bin/bash
verb=$1
shift
length=(--set epochs=1 --set steps_per_epoch=125)
case "$*" in
*--replay*) exec "$RESSLT_REAL/resslt" "$verb" "$@" ;; # with the recipe of the run
*:/srv/photos*)                                        # the farm's, which must last as long as its drills
  length=(--set epochs=12 --set image_size=32)
  case "$*" in
  *--resume*) ;;
  *"--run drill"*) (while kill -STOP $$; do sleep 0.2; kill -CONT $$; sleep 0.02; done) 2>/dev/null & ;;
  esac
  ;;
*folder:* | *mix:*) length=(--set epochs=2) ;;         # of few images
esac
case $verb in
run | train)
  exec "$RESSLT_REAL/resslt" "$verb" "$@" "${length[@]}" --set batch_size=8 --set width=8 --set backbone=resnet18 --set projector_hidden=16 \
    --set embedding_dim=16 --set K=64 --set threads=1 --set eval_images=100 --set linear_epochs=1 --set log_every=5
  ;;
eval) exec "$RESSLT_REAL/resslt" "$verb" "$@" --max-images 200 ;;
esac
exec "$RESSLT_REAL/resslt" "$verb" "$@"
`

// docsFolder makes what the documents take for granted: the programs in bin, and the data of
// the places that they name.
func docsFolder(t *testing.T, dir, doc string) {
	t.Helper()
	for _, err := range []error{
		os.MkdirAll(filepath.Join(dir, "bin"), 0o755),
		os.Symlink(filepath.Join(bin, "augmentd"), filepath.Join(dir, "bin", "augmentd")),
		os.Symlink(abs(t, "../../deploy"), filepath.Join(dir, "deploy")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if docsWhole() || slices.Contains(briefDocuments, doc) {
		if err := os.Symlink(filepath.Join(bin, "resslt"), filepath.Join(dir, "bin", "resslt")); err != nil {
			t.Fatal(err)
		}
	} else if err := os.WriteFile(filepath.Join(dir, "bin", "resslt"), []byte(shortened), 0o755); err != nil {
		t.Fatal(err)
	}
	if make := docsPlaces[doc]; make != nil {
		make(t, dir)
	}
}

func abs(t *testing.T, path string) string {
	t.Helper()
	path, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }

// notTyped are the examples of the help that are not run, by what they have, and why.
var notTyped = map[string]string{
	"nats":           "a farm: README's is run",
	"stream:":        "a farm: README's is run",
	"resslt status":  "a farm: TestStatus has one",
	"resslt farm":    "a farm: TestFarm has one",
	"resslt serve":   "it serves until it is stopped: TestServe",
	"resslt web":     "it serves until it is stopped: TestWeb",
	"resslt bench":   "minutes: each has a test of its own",
	"resslt sweep":   "hours: TestSweep has a small one",
	"cifar10":        "hours, or a GPU: README's evaluation is run",
	"imagenet":       "a data set or a checkpoint of ImageNet: docs/weights.md's is run",
	"resnet50":       "a data set or a checkpoint of ImageNet: docs/weights.md's is run",
	"shards/train":   "shards of yours: TestShards has some",
	"wds:packed":     "packed shards of yours: TestPackedShards has some",
	"stl10":          "a data set of its own: README's evaluation is run",
	"resslt convert": "a checkpoint of another project: docs/weights.md's is run",
	"resslt keys":    "a farm: TestKeys has one",
	"runs/mine":      "hours of labels: TestSemi",
	"record import":  "a farm: README's is run",
	"torchrun":       "GPUs: TestRanks",
	"--listen":       "it would wait for workers: TestRunListens",
	"--bands":        "TIFFs of yours: packing.TestConvertedNumbers has some",
}

// TestExamples runs what the help of the verbs has for examples, the run that the others look at
// first.
func TestExamples(t *testing.T) {
	var lines []string
	used := map[string]bool{}
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		for line := range strings.Lines(c.Example) {
			line = strings.TrimSpace(line)
			typed := true
			for part := range notTyped {
				if strings.Contains(line, part) {
					used[part], typed = true, false
				}
			}
			if typed {
				lines = append(lines, line)
			}
		}
		for _, sub := range c.Commands() {
			visit(sub)
		}
	}
	visit(newRootCommand())
	for part := range notTyped {
		if !used[part] {
			t.Errorf("no example has %q any more", part)
		}
	}
	slices.SortStableFunc(lines, func(a, b string) int { return strings.Index(b, "resslt run ") - strings.Index(a, "resslt run ") })
	if len(lines) < 10 {
		t.Fatalf("%q", lines)
	}
	typeBlocks(t, []*block{{doc: "--help", kind: "sh", text: strings.Join(lines, "\n") + "\n"}})
}

// Commands in running text and in the help's examples are of verbs and flags that there are.
func TestCommandsInText(t *testing.T) {
	root := newRootCommand()
	root.InitDefaultHelpFlag()
	checked := 0
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	making := regexp.MustCompile("`make ([a-z][a-z0-9-]*)[^`]*`")
	inline := regexp.MustCompile("`(?:bin/)?(resslt [^`]*)`")
	for doc, text := range documents(t) {
		for _, m := range making.FindAllStringSubmatch(text, -1) {
			if !strings.Contains(string(makefile), "\n"+m[1]+":") {
				t.Errorf("%s: %s: the Makefile has no such target", doc, m[0])
			}
		}
		for _, m := range inline.FindAllStringSubmatch(text, -1) {
			checked++
			for _, why := range strangeIn(root, m[1]) {
				t.Errorf("%s: `%s`: %s", doc, m[1], why)
			}
		}
	}
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		for line := range strings.Lines(c.Example) {
			line = strings.TrimSpace(line)
			if _, command, ok := strings.Cut(line, "resslt "); ok {
				checked++
				for _, why := range strangeIn(root, "resslt "+command) {
					t.Errorf("%s --help: %s: %s", c.CommandPath(), line, why)
				}
				if err := badValue("resslt " + command); err != nil {
					t.Errorf("%s --help: %s: %v", c.CommandPath(), line, err)
				}
			}
		}
		for _, sub := range c.Commands() {
			visit(sub)
		}
	}
	visit(root)
	if checked < 120 {
		t.Errorf("%d commands were found", checked)
	}
}

// strangeIn lists what a command line has that the program has not.
func strangeIn(root *cobra.Command, line string) (out []string) {
	line, _, _ = strings.Cut(line, " # ")
	words := strings.Fields(line)[1:]
	c := root
	for len(words) > 0 && !strings.HasPrefix(words[0], "-") && c.HasSubCommands() {
		if words[0] == "…" {
			return nil
		}
		at := slices.IndexFunc(c.Commands(), func(sub *cobra.Command) bool { return sub.Name() == words[0] })
		if at < 0 {
			return []string{"there is no verb " + words[0]}
		}
		c, words = c.Commands()[at], words[1:]
	}
	c.InitDefaultHelpFlag()
	for _, w := range words {
		name, value, given := strings.Cut(strings.Trim(w, "[],.;"), "=")
		long, is := strings.CutPrefix(name, "--")
		if !is || long == "" {
			continue
		}
		f := c.Flags().Lookup(long)
		if f == nil {
			f = c.InheritedFlags().Lookup(long)
		}
		switch {
		case f == nil && (long == "version" && c == root):
		case f == nil:
			out = append(out, c.CommandPath()+" has no flag --"+long)
		case given && f.Value.Type() == "bool" && value != "true" && value != "false":
			out = append(out, "--"+long+" takes no such value")
		}
	}
	return out
}

// badValue is what is wrong with the values of an example's flags.
func badValue(line string) error {
	line, _, _ = strings.Cut(line, " # ")
	root := newRootCommand()
	c, rest, err := root.Find(strings.Fields(strings.ReplaceAll(line, "'", ""))[1:])
	if err != nil {
		return err
	}
	c.InitDefaultHelpFlag()
	return c.ParseFlags(rest)
}
