package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// shownBelow is a command of a console block, with the lines that the document shows below it.
type shownBelow struct {
	command string
	lines   []string
}

// printsOf takes a console block apart: a command is behind "$ ", and goes on over lines that end
// in a backslash.
func printsOf(text string) (out []shownBelow) {
	more := false
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		command, begins := strings.CutPrefix(line, "$ ")
		switch {
		case begins:
			out = append(out, shownBelow{command: command})
		case len(out) == 0:
			return nil
		case more:
			out[len(out)-1].command += "\n" + line
		default:
			out[len(out)-1].lines = append(out[len(out)-1].lines, line)
		}
		more = (begins || more) && strings.HasSuffix(line, `\`)
	}
	return out
}

// printedMark stands in a script's output before what each command prints.
const printedMark = "== command "

// printing is the script of a console block. A command may fail: many are there for their error.
func printing(commands []shownBelow) string {
	var b strings.Builder
	for i, p := range commands {
		fmt.Fprintf(&b, "echo '%s%d'\n%s || true\n", printedMark, i, p.command)
	}
	return b.String()
}

// unlike is what a document shows that the program does not print, or "". An ellipsis stands for
// any text within a line, and for any lines where it is alone.
func unlike(shown []string, out string) string {
	var b strings.Builder
	b.WriteString(`^`)
	for _, line := range shown {
		if strings.TrimSpace(line) == "…" {
			b.WriteString(`(?:.*\n)*?`)
			continue
		}
		b.WriteString(strings.ReplaceAll(regexp.QuoteMeta(line), "…", ".*") + `\n`)
	}
	b.WriteString(`$`)
	if regexp.MustCompile(b.String()).MatchString(out) {
		return ""
	}
	return fmt.Sprintf("the document shows\n%s\nand the program prints\n%s", strings.Join(shown, "\n"), out)
}

// checkPrinted compares what a block's commands have printed, in a file, with what it shows.
func checkPrinted(t *testing.T, b *block, file string) {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Errorf("%s was not reached: %v", b, err)
		return
	}
	parts := strings.Split("\n"+string(raw), "\n"+printedMark)[1:]
	commands := printsOf(b.text)
	if len(parts) != len(commands) {
		t.Errorf("%s: %d of %d commands were run: %s", b, len(parts), len(commands), raw)
		return
	}
	for i, p := range commands {
		_, out, _ := strings.Cut(parts[i], "\n")
		if out != "" && !strings.HasSuffix(out, "\n") {
			out += "\n"
		}
		if why := unlike(p.lines, out); why != "" {
			t.Errorf("%s: $ %s\n%s", b, p.command, why)
		}
	}
}

// What a document shows below its commands is compared as it is meant.
func TestPrinted(t *testing.T) {
	got := printsOf("$ ls \\\n  -l\na\n\nb\n$ true\n")
	if len(got) != 2 || got[0].command != "ls \\\n  -l" || strings.Join(got[0].lines, "|") != "a||b" || got[1].lines != nil {
		t.Errorf("%+v", got)
	}
	for shown, out := range map[string]string{"a … c": "a b c\n", "a\n…\nd": "a\nb\nc\nd\n", "…\nd": "d\n", "a (b)": "a (b)\n"} {
		if why := unlike(strings.Split(shown, "\n"), out); why != "" {
			t.Errorf("%q: %s", shown, why)
		}
	}
	for shown, out := range map[string]string{"a": "a\nb\n", "b": "a\nb\n", "a … c": "a b d\n", "a.c": "abc\n"} {
		if unlike(strings.Split(shown, "\n"), out) == "" {
			t.Errorf("%q is taken for %q", shown, out)
		}
	}
}

// sources is the text of the programs, in which a line's words must be.
func sources(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (strings.HasPrefix(d.Name(), ".") && d.Name() != "../.." && d.Name() != ".." || d.Name() == "bin" || d.Name() == "testdata"):
			return fs.SkipDir
		case d.IsDir() || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		switch filepath.Ext(path) {
		case ".go", ".cc", ".h", ".py", ".sh":
		default:
			return nil
		}
		raw, err := os.ReadFile(path)
		b.Write(raw)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// wordsOf are the parts of a quoted line that no value interrupts: an ellipsis stands for each value,
// and what the one error type puts between its parts is no words of anybody's.
func wordsOf(line string) (out []string) {
	for _, part := range regexp.MustCompile(`…|: | \(hint: |\)$`).Split(line, -1) {
		if part = strings.TrimSpace(part); len(part) > 3 && part != "resslt" && part != "augmentd" {
			out = append(out, part)
		}
	}
	return out
}

// checkQuoted has the words of a block's lines be in the sources.
func checkQuoted(t *testing.T, b *block, code string) {
	t.Helper()
	for line := range strings.Lines(b.text) {
		words := wordsOf(strings.TrimSpace(line))
		if len(words) == 0 {
			t.Errorf("%s: %q has no words to look for", b, line)
		}
		for _, w := range words {
			if !strings.Contains(code, w) && !strings.Contains(code, strings.ReplaceAll(w, `"`, `\"`)) {
				t.Errorf("%s: no program says %q any more", b, w)
			}
		}
	}
}
