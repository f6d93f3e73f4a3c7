package cli

import (
	"strings"
	"unicode"
)

// Printable is a name from elsewhere, of a file or a worker, without what a terminal would
// obey.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}
