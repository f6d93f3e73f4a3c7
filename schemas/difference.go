package schemas

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Difference is one thing in which what is asked for differs from what is there.
type Difference struct {
	Key     string // a recipe's key where there is one
	Is, Was string // for people
}

// Differences are several, the most telling first.
type Differences []Difference

// mostDifferences is how many of them are named in a line.
const mostDifferences = 6

// Text names the differences on one line; other says who has the other values:
// Text("the run has") is "batch_size is 8, the run has 4; seed is …".
func (d Differences) Text(other string) string {
	var all []string
	for _, x := range d[:min(len(d), mostDifferences)] {
		all = append(all, fmt.Sprintf("%s is %s, %s %s", x.Key, x.Is, other, x.Was))
	}
	if more := len(d) - len(all); more > 0 {
		all = append(all, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(all, "; ")
}

// Add appends a difference where the values are not equal.
func (d *Differences) Add(key string, is, was any) {
	if a, b := shown(is), shown(was); a != b {
		*d = append(*d, Difference{key, a, b})
	}
}

// mostShown is how many bytes of a value are shown.
const mostShown = 60

// shown is a value for people.
func shown(v any) string {
	s := fmt.Sprint(v)
	if raw, err := json.Marshal(v); err == nil && len(raw) > 0 && (raw[0] == '[' || raw[0] == '{') {
		s = string(raw)
	}
	if s == "" {
		return `""`
	}
	if len(s) > mostShown {
		s = strings.ToValidUTF8(s[:mostShown], "") + "…"
	}
	return s
}

// Differences lists in what the spec differs from another one, by the recipe's keys. What
// only follows from another difference, such as the size of a chunk from that of a batch,
// is left out. It is empty for specs of equal digests, and for those alone.
func (s *RunSpec) Differences(was *RunSpec) (d Differences) {
	d.Add("spec version", s.Version, was.Version)
	d.Add("batch_size", s.BatchSize, was.BatchSize)
	d.Add("epochs", s.Epochs, was.Epochs)
	d.Add("seed", s.Seed, was.Seed)
	d.Add("data format", s.Dataset.Format, was.Dataset.Format)
	d.Add("split", s.Dataset.Split, was.Dataset.Split)
	d.Add("number of samples", s.Dataset.Samples, was.Dataset.Samples)
	d.Add("sets of the mixture", s.Dataset.Mix, was.Dataset.Mix)
	d.Add("mates of each image", s.Dataset.Mates, was.Dataset.Mates)
	d.Add("order", s.Order, was.Order)
	d.Add("engine", s.Engine, was.Engine)
	d.Add("on_error", s.OnError, was.OnError)
	d = append(d, policyDifferences(s, was)...)
	if len(d) == 0 {
		d.Add("steps_per_epoch", s.StepsPerEpoch, was.StepsPerEpoch)
		d.Add("chunk_samples", s.ChunkSamples, was.ChunkSamples)
		d.Add("samples of the shards", s.Dataset.ShardSamples, was.Dataset.ShardSamples)
	}
	if s.Dataset.Digest != was.Dataset.Digest && s.Dataset.Samples == was.Dataset.Samples &&
		s.Dataset.Format == was.Dataset.Format && s.Dataset.Split == was.Dataset.Split {
		d = append(d, Difference{"content of the data", fmt.Sprintf("%.12s", s.Dataset.Digest), fmt.Sprintf("%.12s", was.Dataset.Digest)})
	}
	if len(d) == 0 && s.Digest() != was.Digest() {
		d = append(d, Difference{"spec", fmt.Sprintf("%.12s", s.Digest()), fmt.Sprintf("%.12s", was.Digest())})
	}
	return d
}

// EqualBatches reports whether the runs have equal batches as far as both go: they differ
// in nothing but their number of epochs.
func (s *RunSpec) EqualBatches(as *RunSpec) bool {
	same := *s
	same.Epochs = as.Epochs
	return same.Digest() == as.Digest()
}

// policyDifferences names another policy by its name, else the views' sizes, else the first
// thing within it that differs.
func policyDifferences(s, was *RunSpec) (d Differences) {
	if s.Policy == was.Policy && slices.Equal(s.Views, was.Views) {
		return nil
	}
	is, err := parseValue(s.Policy)
	if err != nil {
		return Differences{{"policy", shown(s.Policy), shown(was.Policy)}}
	}
	other, err := parseValue(was.Policy)
	if err != nil {
		return Differences{{"policy", shown(s.Policy), shown(was.Policy)}}
	}
	if name := func(v any) string { return label(v, "name") }; name(is) != name(other) {
		return Differences{{"policy", name(is), name(other)}}
	}
	sizes := func(views []ViewSpec) (out []int) {
		for _, v := range views {
			out = append(out, v.Size)
		}
		return slices.Compact(out)
	}
	a, b := sizes(s.Views), sizes(was.Views)
	switch {
	case slices.Equal(a, b):
	case len(a) == 1 && len(b) == 1:
		d.Add("image_size", a[0], b[0])
	default:
		d.Add("sizes of the views", a, b)
	}
	if x, ok := firstDifference("policy", is, other); ok {
		d = append(d, x)
	}
	return d
}

func parseValue(s string) (v any, err error) {
	err = json.Unmarshal([]byte(s), &v)
	return v, err
}

// label is a value's name under a key, "" where it has none.
func label(v any, key string) string {
	m, _ := v.(map[string]any)
	name, _ := m[key].(string)
	return name
}

// firstDifference finds the first difference below a place of two parsed values. Sizes are
// passed over: the views name them.
func firstDifference(at string, is, was any) (Difference, bool) {
	switch a := is.(type) {
	case map[string]any:
		b, ok := was.(map[string]any)
		if !ok {
			break
		}
		// What a thing is comes before how it is set.
		first := []string{"op", "name", "role"}
		keys := slices.Concat(first, slices.Sorted(maps.Keys(a)), slices.Sorted(maps.Keys(b)))
		for _, k := range keys {
			if k == "size" {
				continue
			}
			if d, ok := firstDifference(at+"."+k, orNone(a, k), orNone(b, k)); ok {
				return d, true
			}
		}
		return Difference{}, false
	case []any:
		b, ok := was.([]any)
		if !ok || len(a) != len(b) && !labelled(a) && !labelled(b) {
			break
		}
		for i := range min(len(a), len(b)) {
			where := fmt.Sprintf("%s[%d]", at, i)
			for _, key := range []string{"name", "op"} {
				if name := label(a[i], key); name != "" && name == label(b[i], key) {
					where = fmt.Sprintf("%s[%s]", at, name)
				}
			}
			if d, ok := firstDifference(where, a[i], b[i]); ok {
				return d, true
			}
		}
		if len(a) != len(b) {
			return Difference{"number of " + at, fmt.Sprint(len(a)), fmt.Sprint(len(b))}, true
		}
		return Difference{}, false
	}
	a, b := shown(is), shown(was)
	return Difference{at, a, b}, a != b
}

// labelled reports whether a list's members are things of several fields.
func labelled(list []any) bool {
	if len(list) == 0 {
		return false
	}
	_, ok := list[0].(map[string]any)
	return ok
}

// orNone is a field's value, 0 where it is left out: that is what a missing one means.
func orNone(m map[string]any, key string) any {
	if v, ok := m[key]; ok {
		return v
	}
	return 0
}
