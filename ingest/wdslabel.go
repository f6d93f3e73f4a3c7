package ingest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"resslt/schemas"
	"resslt/schemas/errs"
)

// A label is a class's number or its name. Those of one set are all numbers or all names;
// names are numbered in bytewise order, or as a list of classes says (joinClasses).

const (
	// maxLabelBytes is the most that a label may have.
	maxLabelBytes = 256
	// maxJSONBytes is the most that a .json member that may hold a label may have.
	maxJSONBytes = 8 << 20
	// maxLabelClasses caps the names of a set: more are captions.
	maxLabelClasses = 1 << 16

	jsonPrefix = "json."
)

// labelFields are the fields that hold a label by their names, the preferred ones first.
var labelFields = []string{"cls", "class", "label"}

// jsonNumbers and jsonNames are the keys of a .json member that hold a label, the
// preferred ones first: a number is taken before a name.
var (
	jsonNumbers = []string{"label", "cls", "class", "class_id", "class_idx", "class_index", "label_id", "label_idx", "target", "category_id"}
	jsonNames   = []string{"label", "cls", "class", "class_name", "label_name", "category", "category_name"}
)

// tarLabel is what a member says: a number, or a name.
type tarLabel struct {
	number int32
	name   string // "" for a number
	fault  string // why it is neither
}

var (
	wholeNumber = regexp.MustCompile(`^([+-]?[0-9]+)(\.0*)?$`)
	anyFraction = regexp.MustCompile(`^[+-]?[0-9]*\.[0-9]+$`)
)

// parseLabel reads 3, " 3\n", 3.0 and the name of a class.
func parseLabel(b []byte) tarLabel {
	if len(b) > maxLabelBytes {
		return tarLabel{fault: fmt.Sprintf("%d bytes are no class", len(b))}
	}
	s := string(bytes.TrimSpace(bytes.TrimPrefix(b, []byte("\xef\xbb\xbf")))) // of editors on Windows
	bad := tarLabel{fault: fmt.Sprintf("%q is no class", s)}
	if m := wholeNumber.FindStringSubmatch(s); m != nil {
		v, err := strconv.ParseInt(m[1], 10, 32)
		if err != nil || v < int64(schemas.NoLabel) {
			return bad
		}
		return tarLabel{number: int32(v)}
	}
	if s == "" || anyFraction.MatchString(s) || !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
		return bad
	}
	return tarLabel{name: s}
}

// tarLabels are what one member says, by the source: an extension, or json.KEY. Most
// have one.
type tarLabels []sourceLabel

type sourceLabel struct {
	source string
	tarLabel
}

func (ls tarLabels) of(source string) (l tarLabel, ok bool) {
	for _, s := range ls {
		if s.source == source {
			return s.tarLabel, true
		}
	}
	return l, false
}

// readLabels reads the member if its field may hold a label; nil if not. want is the
// field that the URI names, "" for any.
func readLabels(r io.Reader, field string, size int64, want string) (tarLabels, error) {
	last := lastExt(field)
	switch isJSON := last == "json"; {
	case want == noLabels:
		return nil, nil
	case isJSON && (want == "" || strings.HasPrefix(want, jsonPrefix)):
		if size > maxJSONBytes {
			return nil, nil
		}
		b, err := io.ReadAll(io.LimitReader(r, maxJSONBytes))
		return jsonLabels(b, want), err
	case field == want, want == "" && slices.Contains(labelFields, last):
		b, err := io.ReadAll(io.LimitReader(r, maxLabelBytes+1))
		l := parseLabel(b)
		if size > maxLabelBytes {
			l.fault = fmt.Sprintf("%d bytes are no class", size)
		}
		if want != "" {
			last = want
		}
		return tarLabels{{last, l}}, err
	}
	return nil, nil
}

// jsonLabels are the labels in an object, at its top.
func jsonLabels(b []byte, want string) tarLabels {
	var object map[string]json.RawMessage
	if json.Unmarshal(b, &object) != nil && json.Unmarshal(nullNotNumbers(b), &object) != nil {
		return nil
	}
	var out tarLabels
	read := func(key string) {
		raw, ok := object[key]
		if _, done := out.of(jsonPrefix + key); done || !ok || string(raw) == "null" {
			return
		}
		text := string(raw)
		if json.Unmarshal(raw, &text) != nil { // no string
			text = string(raw)
		}
		switch string(raw) { // of two classes
		case "true":
			text = "1"
		case "false":
			text = "0"
		}
		l := parseLabel([]byte(text))
		if l.name != "" && raw[0] != '"' {
			l = tarLabel{fault: fmt.Sprintf("%.50q is no class", raw)}
		}
		out = append(out, sourceLabel{jsonPrefix + key, l})
	}
	if key, ok := strings.CutPrefix(want, jsonPrefix); ok {
		read(key)
		return out
	}
	for _, key := range slices.Concat(jsonNumbers, jsonNames) {
		read(key)
	}
	return out
}

// notNumbers are strings, which stay, and what Python's json.dumps writes for floats that
// JSON can't hold.
var notNumbers = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|-?\b(?:NaN|Infinity)\b`)

// nullNotNumbers writes null for NaN and Infinity.
func nullNotNumbers(b []byte) []byte {
	return notNumbers.ReplaceAllFunc(b, func(m []byte) []byte {
		if m[0] == '"' {
			return m
		}
		return []byte("null")
	})
}

// labelSource chooses the source of the labels of a shard from what its members say. A
// .cls member is one always; others are if all that they say are labels. Failing that, one
// of which at least half are labels is chosen too: the odd member is then refused, as the
// alternative is to lose the labels of all.
func labelSource(all []tarLabels) string {
	type seen struct{ numbers, names, faults int }
	found := map[string]*seen{}
	for _, ls := range all {
		for _, l := range ls {
			s := found[l.source]
			if s == nil {
				s = &seen{}
				found[l.source] = s
			}
			switch {
			case l.fault != "":
				s.faults++
			case l.name != "":
				s.names++
			default:
				s.numbers++
			}
		}
	}
	if found[labelFields[0]] != nil {
		return labelFields[0]
	}
	for _, odd := range []bool{false, true} {
		ok := func(good, bad int) bool { return bad == 0 || odd && good >= bad }
		for _, source := range labelFields[1:] {
			if s := found[source]; s != nil && ok(s.numbers+s.names, s.faults) {
				return source
			}
		}
		for _, key := range jsonNumbers {
			if s := found[jsonPrefix+key]; s != nil && ok(s.numbers, s.faults+s.names) {
				return jsonPrefix + key
			}
		}
		for _, key := range jsonNames {
			if s := found[jsonPrefix+key]; s != nil && ok(s.names, s.faults+s.numbers) {
				return jsonPrefix + key
			}
		}
	}
	return ""
}

// numberLabels sets the labels of a shard's samples: their numbers, or, where they
// are names, their places in c.classes. nil stands for a sample without one.
func (c *columns) numberLabels(samples []*tarLabel) error {
	numbers, names := -1, -1 // a sample of each kind
	for i, l := range samples {
		if l == nil {
			continue
		}
		if l.name != "" {
			names = i
			c.classes = append(c.classes, l.name)
		} else if l.number != schemas.NoLabel {
			numbers = i
		}
	}
	if numbers >= 0 && names >= 0 {
		return fmt.Errorf("labels are both names and numbers: %q of %q, %d of %q",
			samples[names].name, c.name(int64(names)), samples[numbers].number, c.name(int64(numbers)))
	}
	slices.Sort(c.classes)
	c.classes = slices.Clone(slices.Compact(c.classes))
	if len(c.classes) > maxLabelClasses {
		return fmt.Errorf("labels of more than %d names, such as %q: are they captions?", maxLabelClasses, samples[names].name)
	}
	for _, l := range samples {
		v := schemas.NoLabel
		switch {
		case l == nil:
		case l.name != "":
			at, _ := slices.BinarySearch(c.classes, l.name)
			v = int32(at)
		default:
			v = l.number
		}
		c.labels = append(c.labels, v)
	}
	return nil
}

// named reports whether labels are names.
func (x *index) named() bool {
	return slices.ContainsFunc(x.Classes, func(c []string) bool { return len(c) > 0 })
}

// numbered reports whether shard i has labels that are numbers, if it has no names.
func (x *index) numbered(i int) bool {
	part := x.labels[x.First[i]:x.First[i+1]]
	return len(part) > 0 && slices.Max(part) > schemas.NoLabel
}

// joinClasses numbers the labels that are names over all shards: by known, the class
// names that a list gives, or by their bytewise order. It returns known where labels are
// numbers.
func (x *index) joinClasses(known []string, listedIn string) ([]string, error) {
	var names []string
	for i, classes := range x.Classes {
		names = append(names, classes...)
		if len(classes) == 0 && x.numbered(i) {
			// Numbers here: then they are in all shards.
			if j := slices.IndexFunc(x.Classes, func(c []string) bool { return len(c) > 0 }); j >= 0 {
				return nil, errs.New("", x.Shards[i].Name, "write them alike in all shards",
					errs.Because(errs.ErrCorrupt, fmt.Sprintf("its labels are numbers, those of %s names", x.Shards[j].Name)))
			}
		}
	}
	if len(names) == 0 {
		return known, nil
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if len(names) > maxLabelClasses {
		return nil, errs.New("", names[0], "leave the labels out by ?label="+noLabels,
			errs.Because(errs.ErrTooLarge, fmt.Sprintf("%d class names: are they captions?", len(names))))
	}
	if len(known) > 0 {
		at := map[string]bool{}
		for _, n := range known {
			at[n] = true
		}
		if i := slices.IndexFunc(names, func(n string) bool { return !at[n] }); i >= 0 {
			return nil, errs.New("", names[i], "add it there", errs.Because(errs.ErrMismatch, "class that is not listed in "+listedIn))
		}
		names = known
	}
	number := make(map[string]int32, len(names))
	for i, n := range names {
		number[n] = int32(i)
	}
	for i, classes := range x.Classes {
		if len(classes) == 0 {
			continue
		}
		part := x.labels[x.First[i]:x.First[i+1]]
		for k, l := range part {
			if l == schemas.NoLabel {
				continue
			}
			if int(l) >= len(classes) {
				return nil, errs.New("", x.Shards[i].Name, "", errs.Because(errs.ErrCorrupt, "label outside its names"))
			}
			part[k] = number[classes[l]]
		}
	}
	x.Classes = nil
	return names, nil
}

// readClassList parses a list of class names, one a line.
func readClassList(b []byte) ([]string, error) {
	var out []string
	for line := range strings.Lines(string(bytes.TrimPrefix(b, []byte("\xef\xbb\xbf")))) {
		if line = strings.TrimSpace(line); line != "" {
			out = append(out, line)
		}
	}
	sorted := slices.Sorted(slices.Values(out))
	if len(slices.Compact(sorted)) != len(out) {
		return nil, errors.New("a class is listed twice")
	}
	return out, nil
}
