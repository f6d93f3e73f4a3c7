package cli

import (
	"fmt"
	"strings"
	"unicode"
)

// Cell is a name, such as a file's, as one cell of a table on a terminal: what would end
// the cell or the line, or be obeyed, is written as \xHH.
func Cell(name string) string {
	if !strings.ContainsFunc(name, unicode.IsControl) {
		return name
	}
	var b strings.Builder
	for _, r := range name {
		if unicode.IsControl(r) {
			for _, c := range []byte(string(r)) {
				fmt.Fprintf(&b, `\x%02x`, c)
			}
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}
