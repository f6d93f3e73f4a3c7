package schemas

import (
	"strings"
	"unicode/utf8"
)

// Names of files are bytes; Arrow, JSON and what people read are UTF-8. A name that is
// no UTF-8 leaves as text with each such byte as \xHH, so that no two names become one
// and every name can be had back.

// EscapeName is the name as UTF-8. Names that are UTF-8 stay as they are, but for a
// backslash of those that have \xHH in them already, or become \x5c.
func EscapeName(name string) string {
	if utf8.ValidString(name) && !hasEscape(name) {
		return name
	}
	var b strings.Builder
	for i := 0; i < len(name); {
		r, n := utf8.DecodeRuneInString(name[i:])
		if r == utf8.RuneError && n == 1 || name[i] == '\\' {
			const digits = "0123456789abcdef"
			b.WriteString(`\x`)
			b.WriteByte(digits[name[i]>>4])
			b.WriteByte(digits[name[i]&15])
		} else {
			b.WriteString(name[i : i+n])
		}
		i += n
	}
	return b.String()
}

// UnescapeName gives back the name that EscapeName was given.
func UnescapeName(text string) string {
	if !hasEscape(text) {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if isEscape(text[i:]) {
			b.WriteByte(unhex(text[i+2])<<4 | unhex(text[i+3]))
			i += escapeLen - 1
		} else {
			b.WriteByte(text[i])
		}
	}
	return b.String()
}

const escapeLen = len(`\xHH`)

func hasEscape(s string) bool {
	for {
		i := strings.Index(s, `\x`)
		if i < 0 {
			return false
		}
		if isEscape(s[i:]) {
			return true
		}
		s = s[i+1:]
	}
}

// isEscape reports whether a text begins with \xHH.
func isEscape(s string) bool {
	return len(s) >= escapeLen && s[:2] == `\x` && isHex(s[2]) && isHex(s[3])
}

func isHex(c byte) bool { return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' }

func unhex(c byte) byte {
	if c >= 'a' {
		return c - 'a' + 10
	}
	return c - '0'
}
