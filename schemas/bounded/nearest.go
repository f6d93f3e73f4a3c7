package bounded

import (
	"math"
	"strings"
)

// Nearest is the known word that is closest to what somebody wrote, by edit distance.
func Nearest(word string, known []string) string {
	best, least := "", math.MaxInt
	for _, k := range known {
		if d := editDistance(strings.ToLower(word), strings.ToLower(k)); d < least {
			best, least = k, d
		}
	}
	return best
}

// Suggest begins a hint with "did you mean WORD? " where a known word is so near that what was
// written is likely to be a slip; else it is "".
func Suggest(word string, known []string) string {
	near := Nearest(word, known)
	if d := editDistance(strings.ToLower(word), strings.ToLower(near)); near == "" || d == 0 || d > max(1, min(len(word), len(near))/3) {
		return ""
	}
	return "did you mean " + near + "? "
}

// editDistance is Levenshtein's over bytes, in which two neighbours that have changed places are one
// slip and not two (optimal string alignment).
func editDistance(a, b string) int {
	before, row := make([]int, len(b)+1), make([]int, len(b)+1) // of the two last bytes of a
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		next := make([]int, len(b)+1)
		next[0] = i
		for j := 1; j <= len(b); j++ {
			cost := row[j-1]
			if a[i-1] != b[j-1] {
				cost = 1 + min(row[j-1], row[j], next[j-1])
			}
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cost = min(cost, 1+before[j-2])
			}
			next[j] = cost
		}
		before, row = row, next
	}
	return row[len(b)]
}
