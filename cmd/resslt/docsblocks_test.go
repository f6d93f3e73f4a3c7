package main

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// block is a fenced block of a document.
type block struct {
	doc       string // below the repository
	line      int    // of the fence
	kind      string // sh, console, python, text; "" where the fence names none
	text      string
	notRun    string // the reason
	terminals bool
	machine   string // on which it is typed; "" for the one with the clone
	serves    bool   // it goes on while later blocks run
	quoted    bool   // its words are in the sources
}

func (b *block) String() string { return fmt.Sprintf("%s:%d", b.doc, b.line) }

var (
	fence   = regexp.MustCompile("^( *)```([a-z]*)$")
	comment = regexp.MustCompile(`^ *<!-- block: (.*) -->$`)
	reasons = regexp.MustCompile(`^not run, (\S.{8,})$`)
	typedOn = regexp.MustCompile(`^on ([a-z][a-z0-9-]*)(, serves)?$`)
)

// marked has the block be as the mark above it says, and reports whether there is such a mark.
func (b *block) marked(mark string) bool {
	reason, on := reasons.FindStringSubmatch(mark), typedOn.FindStringSubmatch(mark)
	switch {
	case mark == "":
	case reason != nil:
		b.notRun = reason[1]
	case mark == "terminals":
		b.terminals = true
	case mark == "in the sources":
		b.quoted = true
		return b.kind == "text"
	case on != nil:
		b.machine, b.serves = on[1], on[2] != ""
		return b.kind == "sh" || b.kind == "console" && !b.serves
	default:
		return false
	}
	return true
}

// blocksOf are the blocks of a document, and what is wrong with its marks.
func blocksOf(doc, text string) (blocks []*block, wrong []string) {
	var open *block
	mark, indent := "", ""
	for i, line := range strings.Split(text, "\n") {
		at := fence.FindStringSubmatch(line)
		switch {
		case open != nil && at != nil && at[2] == "":
			blocks, open = append(blocks, open), nil
		case open != nil:
			open.text += strings.TrimPrefix(line, indent) + "\n"
		case at != nil:
			indent = at[1]
			open = &block{doc: doc, line: i + 1, kind: at[2]}
			if !open.marked(mark) {
				wrong = append(wrong, fmt.Sprintf("%s: the mark %q is none", open, mark))
			}
			mark = ""
		case comment.MatchString(line):
			mark = comment.FindStringSubmatch(line)[1]
		case mark != "" && strings.TrimSpace(line) != "":
			wrong, mark = append(wrong, fmt.Sprintf("%s:%d: the mark %q is above no block", doc, i+1, mark)), ""
		}
		if command := indented.FindString(line); open == nil && command != "" {
			wrong = append(wrong, fmt.Sprintf("%s:%d: a command outside a fenced block: %s", doc, i+1, command))
		}
	}
	return blocks, wrong
}

// strangeInBlocks is what the blocks' commands have that the program has not, of those that are not
// run, too. A slip that a console block is there to show is meant.
func strangeInBlocks(blocks []*block) (out []string) {
	root := newRootCommand()
	root.InitDefaultHelpFlag()
	for _, b := range blocks {
		if b.kind != "sh" {
			continue
		}
		for line := range strings.Lines(strings.ReplaceAll(b.text, "\\\n", " ")) {
			line = strings.TrimSpace(line)
			if at := commandOf.FindStringSubmatch(line); at != nil {
				for _, why := range strangeIn(root, at[1]) {
					out = append(out, fmt.Sprintf("%s: %s: %s", b, line, why))
				}
			}
		}
	}
	return out
}

// commandOf is a command of ours that a line begins with, or has ssh begin.
var commandOf = regexp.MustCompile(`^(?:[A-Z_]+=\S+ )*(?:ssh \S+ '?)?(?:bin/)?(resslt [^|;&)>]*)`)

// indented is a command in a block that is none of ours.
var indented = regexp.MustCompile(`^    (bin/)?(resslt|augmentd|make|python3?|pip) .*`)

// Marks and blocks are read as they are meant.
func TestBlocksOfDocument(t *testing.T) {
	blocks, wrong := blocksOf("x.md", "a\n\n```sh\nls # c\n  x\n```\n<!-- block: not run, it needs a GPU -->\n```python\npass\n```\n\n"+
		"1. list\n   <!-- block: terminals -->\n  ```sh\n  a\n  b\n  ```\n<!-- block: on far, serves -->\n```sh\nls\n```\n"+
		"<!-- block: in the sources -->\n```text\nx: y\n```\n")
	want := []block{
		{doc: "x.md", line: 3, kind: "sh", text: "ls # c\n  x\n"},
		{doc: "x.md", line: 8, kind: "python", text: "pass\n", notRun: "it needs a GPU"},
		{doc: "x.md", line: 14, kind: "sh", text: "a\nb\n", terminals: true},
		{doc: "x.md", line: 19, kind: "sh", text: "ls\n", machine: "far", serves: true},
		{doc: "x.md", line: 23, kind: "text", text: "x: y\n", quoted: true},
	}
	if len(wrong) > 0 || len(blocks) != len(want) {
		t.Fatalf("%d blocks, %q", len(blocks), wrong)
	}
	for i, w := range want {
		if *blocks[i] != w {
			t.Errorf("block %d is %+v, want %+v", i, *blocks[i], w)
		}
	}
	for text, why := range map[string]string{
		"<!-- block: not run -->\n```sh\n```\n":                   "is none",
		"<!-- block: not run, GPU -->\n```sh\n```\n":              "is none",
		"<!-- block: terminals -->\ntext\n```sh\nls\n```\n":       "above no block",
		"text:\n\n    resslt run --recipe smoke\n":                "outside a fenced block",
		"<!-- block: on far, serves -->\n```console\n$ ls\n```\n": "is none",
		"<!-- block: on Far -->\n```sh\nls\n```\n":                "is none",
		"<!-- block: in the sources -->\n```sh\nls\n```\n":        "is none",
	} {
		if _, wrong := blocksOf("x.md", text); len(wrong) != 1 || !strings.Contains(wrong[0], why) {
			t.Errorf("%q: %q, want %q", text, wrong, why)
		}
	}
}
