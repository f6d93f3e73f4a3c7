package cli

import "testing"

func TestCell(t *testing.T) {
	for name, want := range map[string]string{"": "", "a b/ü.jpg": "a b/ü.jpg", "a\tb\nc": `a\x09b\x0ac`, "\x1b[2J": `\x1b[2J`, "\u009b": `\xc2\x9b`, `a\b`: `a\b`} {
		if got := Cell(name); got != want {
			t.Errorf("%q became %q", name, got)
		}
	}
}
