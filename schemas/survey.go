package schemas

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// PassedOver counts the things of one kind that a reader passed over.
type PassedOver struct {
	// Reason says what they are and why they are no samples, as a noun phrase that
	// follows a count: "files with another extension (.txt)".
	Reason string `json:"reason"`
	Count  int64  `json:"count"`
	First  string `json:"first"` // the bytewise first name, relative to the data set
	// Kept: they are samples nonetheless, and only worth a word.
	Kept bool `json:"kept,omitempty"`
}

// Survey is all that a reader passed over, by reason: nothing is dropped in silence.
// It is sorted by reason, and so does not depend on the order of listing.
type Survey []PassedOver

// Count is the number of things passed over.
func (s Survey) Count() int64 {
	var n int64
	for _, p := range s {
		if !p.Kept {
			n += p.Count
		}
	}
	return n
}

// String is one line: "passed over 3: 2 empty files (first cat/a.jpg); 1 link that leads
// nowhere (first b.jpg); kept 2 copies of other files (first c.jpg)"; "" where there is
// nothing to say.
func (s Survey) String() string {
	var passed, kept []string
	for _, p := range s {
		part := fmt.Sprintf("%d %s (first %q)", p.Count, p.Things(), p.First)
		if p.Kept {
			kept = append(kept, "kept "+part)
		} else {
			passed = append(passed, part)
		}
	}
	if len(passed) > 0 {
		passed[0] = fmt.Sprintf("passed over %d: %s", s.Count(), passed[0])
	}
	return strings.Join(append(passed, kept...), "; ")
}

// oneOf are reasons whose singular no rule gives.
var oneOf = map[string]string{
	"pipes, sockets and devices":               "pipe, socket or device",
	"folders that are not those of the splits": "folder that is not one of the splits'",
	"copies of other files":                    "copy of another file",
	"copies of other shards":                   "copy of another shard",
	"members that are no files":                "member that is no file",
	"compressed copies of tars":                "compressed copy of a tar",
	"labels of samples that have one":          "label of a sample that has one",
}

// plural is the noun that a reason begins with, and the verb that goes with it.
var plural = regexp.MustCompile(`^((?:[\pL-]+ )*?)(file|picture|archive|list|label|folder|image|link|row|column|member|sample|thing)s( that are| that lead| whose names say)?\b(.*?)(, which are\b.*)?$`)

// Things is the reason as it follows the count: "file with another extension (.txt)" for 1.
func (p PassedOver) Things() string {
	if p.Count != 1 {
		return p.Reason
	}
	if one, ok := oneOf[p.Reason]; ok {
		return one
	}
	m := plural.FindStringSubmatch(p.Reason)
	if m == nil {
		return p.Reason
	}
	verb := map[string]string{"": "", " that are": " that is", " that lead": " that leads", " whose names say": " whose name says"}[m[3]]
	return m[1] + m[2] + verb + m[4] + strings.Replace(m[5], ", which are", ", which is", 1)
}

// Largest is the n reasons that most things were passed over for, sorted by reason.
func (s Survey) Largest(n int) Survey {
	out := slices.Clone(s)
	slices.SortStableFunc(out, func(a, b PassedOver) int { return cmp.Compare(b.Count, a.Count) })
	out = out[:min(n, len(out))]
	slices.SortFunc(out, func(a, b PassedOver) int { return cmp.Compare(a.Reason, b.Reason) })
	return out
}

// Add counts one thing that was passed over; names that are no UTF-8 are escaped.
func (s *Survey) Add(reason, name string) {
	s.Merge("", Survey{{Reason: EscapeName(reason), Count: 1, First: EscapeName(name)}})
}

// Merge adds another survey, whose names get the prefix.
func (s *Survey) Merge(prefix string, other Survey) {
	for _, p := range other {
		p.First = prefix + p.First
		i, found := slices.BinarySearchFunc(*s, p.Reason, func(a PassedOver, reason string) int { return cmp.Compare(a.Reason, reason) })
		if !found {
			*s = slices.Insert(*s, i, p)
			continue
		}
		have := &(*s)[i]
		have.Count += p.Count
		have.First = min(have.First, p.First)
	}
}

// Without is the survey without one reason.
func (s Survey) Without(reason string) Survey {
	return slices.DeleteFunc(slices.Clone(s), func(p PassedOver) bool { return p.Reason == reason })
}
