package schemas

import (
	"encoding/json"
	"math/rand/v2"
	"testing"
	"unicode/utf8"
)

func TestEscapeName(t *testing.T) {
	for name, want := range map[string]string{
		"":                 "",
		"cat/0001.jpg":     "cat/0001.jpg",
		"Käse/ø\u2028.jpg": "Käse/ø\u2028.jpg",
		`a\b`:              `a\b`,
		`a\x4`:             `a\x4`,
		`a\xFF`:            `a\xFF`, // capitals are no escape
		`a\xff`:            `a\x5cxff`,
		"a\xff":            `a\xff`,
		"\\\xff":           `\x5c\xff`,
		"K\xe4se.jpg":      `K\xe4se.jpg`, // Latin-1
		"a\xed\xa0\x80":    `a\xed\xa0\x80`,
		"\ufffd":           "\ufffd",
	} {
		if got := EscapeName(name); got != want {
			t.Errorf("%q became %q, want %q", name, got, want)
		}
		if got := UnescapeName(EscapeName(name)); got != name {
			t.Errorf("%q came back as %q", name, got)
		}
	}
}

// Whatever the bytes, the text is UTF-8, goes through JSON, and gives the name back.
func TestEscapeNameIsReversible(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	parts := []string{`\`, "x", `\x`, "5", "c", "f", "\xff", "\xc3", "ä", `\x5c`, "\xf0\x9f", "/"}
	seen := map[string]string{}
	for range 20000 {
		var name string
		for range r.IntN(7) {
			name += parts[r.IntN(len(parts))]
		}
		text := EscapeName(name)
		if !utf8.ValidString(text) || UnescapeName(text) != name {
			t.Fatalf("%q became %q, then %q", name, text, UnescapeName(text))
		}
		if was, ok := seen[text]; ok && was != name {
			t.Fatalf("%q and %q both became %q", was, name, text)
		}
		seen[text] = name
		b, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		var again string
		if err := json.Unmarshal(b, &again); err != nil || again != text {
			t.Fatalf("%q came out of JSON as %q, %v", text, again, err)
		}
	}
}
