package boundedyaml_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"resslt/schemas/bounded/boundedyaml"
	"resslt/schemas/errs"

	"github.com/goccy/go-yaml"
)

// bomb is n lists, each of ten aliases of the one before: 10ⁿ values.
func bomb(n int) string {
	var b strings.Builder
	b.WriteString("a0: &a0 [x, x]\n")
	for i := 1; i <= n; i++ {
		fmt.Fprintf(&b, "a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 10), ", "))
	}
	return b.String()
}

// nested is n mappings, each in the one before, a line each.
func nested(n int, key string) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.Repeat(" ", i) + key + "\n")
	}
	return b.String()
}

var texts = []struct {
	name, text string
	says       string // of the error; "" where there is none
	large      bool   // the error wraps ErrTooLarge
}{
	{"empty", "", "", false},
	{"comments", "# [[[[ {{{{\n", "", false},
	{"flat", "a: 1\nb: [1, 2]\nc: {d: e}\n", "", false},
	{"many keys", strings.Repeat("- a: b\n", 4000), "", false},
	{"byte order mark", "\xef\xbb\xbfa: 1\n", "", false},
	{"carriage returns", "a: 1\r\nb: 2\r\n", "", false},
	{"half-open intervals in comments", strings.Repeat("# in [0, 1)\n", 200) + "a: 1\n", "", false},
	{"brackets in quotes", "a: '" + strings.Repeat("[", 500) + "'\n", "", false},
	{"brackets in a plain word", "a: x" + strings.Repeat("[", 500) + "\n", "", false},
	{"a folded text far to the right", "a: >-\n" + strings.Repeat(" ", 200) + "word\n", "", false},
	{"aliases", "a: &a [1, 2]\nb: *a\nc: *a\n", "", false},
	{"a merge key", "a: &a {x: 1}\nb:\n  <<: *a\n  y: 2\n", "", false},
	{"20 deep", nested(20, "a:"), "", false},
	{"two documents", "a: 1\n---\na: 2\n", "", false},

	{"brackets", strings.Repeat("[", 50000), "nests deeper", true},
	{"braces", strings.Repeat("{a: ", 15000), "nests deeper", true},
	{"closed brackets", strings.Repeat("[", 30000) + strings.Repeat("]", 30000), "nests deeper", true},
	{"brackets on lines", strings.Repeat("[\n", 30000), "nests deeper", true},
	{"brackets behind a key", "a: " + strings.Repeat("[", 50000), "nests deeper", true},
	{"brackets behind quotes", "a: 'b' " + strings.Repeat("[", 50000), "nests deeper", true},
	{"dashes", strings.Repeat("- ", 30000), "nests deeper", true},
	{"dashes and tabs", strings.Repeat("-\t", 30000), "nests deeper", true},
	{"dashes, a line each", nested(300, "-"), "nests deeper", true},
	{"question marks", strings.Repeat("? ", 30000), "nests deeper", true},
	{"keys, a line each", nested(300, "a:"), "nests deeper", true},
	{"question marks, a line each", nested(300, "?"), "", false},
	{"tags", strings.Repeat("!a ", 20000) + "x", "nests deeper", true},
	{"anchors behind a key", "a: " + strings.Repeat("&a ", 20000) + "x", "nests deeper", true},
	{"a line of dashes in a comment", "# " + strings.Repeat("- ", 60) + "\na: 1\n", "", false},
	{"anchors", strings.Repeat("&a ", 20000) + "x", "nests deeper", true},
	{"alias bomb", bomb(9), "aliases", true},
	{"alias bomb of 40", bomb(40), "aliases", true},
	{"an alias of itself", "a: &a [*a]\n", "within its own anchor", false},
	{"an alias of itself, in a mapping", "a: &a {b: {c: *a}}\n", "within its own anchor", false},
	{"a merge of itself", "a: &a\n  <<: *a\n", "within its own anchor", false},
	{"an alias of nothing", "a: *b\n", "no anchor", false},
	{"an alias of a later anchor", "a: *b\nb: &b 1\n", "no anchor", false},
	{"too many values", strings.Repeat("- 1\n", 16384), "more than", true},
	{"too long", strings.Repeat("a", 200000), "bytes, over", true},
	{"200,000 dashes", strings.Repeat("-", 200000), "bytes, over", true},
	{"NUL", "a: 1\nb: x\x00y\n", "line 2 has a NUL", false},
	{"UTF-16, little-endian", "\xff\xfea\x00:\x00 \x001\x00", "UTF-16", false},
	{"UTF-16, big-endian", "\xfe\xff\x00a\x00:\x00 \x001", "UTF-16", false},
	{"Latin-1", "a: 1\nb: caf\xe9\n", "line 2 is not UTF-8", false},
	{"a key twice", "a: 1\na: 2\n", "already defined", false},
	{"a bracket that does not close", "a: [1\n", "", false},
}

// Whatever the text, Parse and then the decoder take memory of its order alone.
func TestParse(t *testing.T) {
	for _, c := range texts {
		t.Run(c.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := boundedyaml.Parse([]byte(c.text))
			if err == nil {
				var into any
				_ = yaml.Unmarshal([]byte(c.text), &into)
			}
			runtime.ReadMemStats(&after)
			if got := after.TotalAlloc - before.TotalAlloc; got > 64<<20 {
				t.Errorf("%d bytes took %d MB", len(c.text), got>>20)
			} else {
				t.Logf("%d bytes took %d kB", len(c.text), got>>10)
			}
			switch {
			case c.says == "" && c.large:
				t.Fatal("a row that says nothing")
			case c.says == "":
				if errors.Is(err, errs.ErrTooLarge) {
					t.Errorf("refused as too large: %v", err)
				}
			case err == nil:
				t.Errorf("parsed; want %q", c.says)
			case !strings.Contains(err.Error(), c.says) || errors.Is(err, errs.ErrTooLarge) != c.large || strings.Contains(err.Error(), "\n"):
				t.Errorf("got %q, want one line with %q, too large: %v", err, c.says, c.large)
			}
		})
	}
}
