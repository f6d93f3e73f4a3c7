package ingest

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"resslt/schemas/errs"
)

// grouper makes samples of a tar's members. WebDataset's rule comes first: members of one
// key that follow one another are a sample. It adds what that rule would lose:
//
//	AppleDouble files, links, folders   end no sample
//	a label apart from its image        joins it, if the key has one image without a label
//	links to members                    have the bytes of these
//
// A sample has one image. Where members beside it are pictures too, the image is the one
// whose extension stands alone (x.jpg beside x.mask.png), or the URI names its field.
type grouper struct {
	tar     *tarWalker
	fields  wdsFields
	members []wdsMember
	passed  Survey
	emptied map[string]bool // keys whose image is empty
	group   int
	key     string
}

// wdsMember is a member of a tar that belongs to a sample, or that a link may lead to.
type wdsMember struct {
	tarMember
	key, field string
	group      int // members of a sample that follow one another have the same; 0 for no sample's
	labels     tarLabels
}

// metaMember is the name of what webdataset stores about a shard.
var metaMember = regexp.MustCompile(`^__[^/]*__($|/)`)

// Reasons of a shard's survey.
const (
	passedDouble  = "AppleDouble members of macOS (._NAME)"
	passedHidden  = "hidden members"
	passedMeta    = "members about the shard (__NAME__)"
	passedNoField = "members without an extension"
	passedSpecial = "members that are no files"
	passedLink    = "links to no member of the tar"
	passedImages  = "samples without an image"
	passedAgain   = "labels of samples that have one"
)

// add adds the tar's current member.
func (g *grouper) add(m tarMember) error {
	w := wdsMember{tarMember: m}
	w.key, w.field = splitKey(m.name)
	base, reason := path.Base(m.name), ""
	switch {
	case m.special:
		reason = passedSpecial
	case strings.HasPrefix(base, "._"), strings.HasPrefix(path.Clean(m.name), "__MACOSX/"):
		reason = passedDouble
	case metaMember.MatchString(m.name):
		reason = passedMeta
	case strings.HasPrefix(base, "."):
		reason = passedHidden
	case w.key == "":
		reason = passedNoField
	}
	if reason != "" {
		g.passed.Add(reason, m.name)
	} else {
		if w.key != g.key || g.group == 0 {
			g.group++
			g.key = w.key
		}
		w.group = g.group
	}
	if m.file() && w.group > 0 {
		var err error
		if w.labels, err = readLabels(g.tar, w.field, m.size, g.fields.label); err != nil {
			return err
		}
	}
	g.members = append(g.members, w)
	return nil
}

// follow gives links the bytes of the members that they lead to. A hard link leads to an
// earlier one, a symbolic link to any.
func (g *grouper) follow() {
	if !slices.ContainsFunc(g.members, func(m wdsMember) bool { return m.link != "" }) {
		return
	}
	at := make(map[string]int, len(g.members))
	for i, m := range g.members {
		at[path.Clean(m.name)] = i
	}
	const longest = 16 // links to links
	kept := make([]wdsMember, 0, len(g.members))
	for _, m := range g.members {
		to, ok := m, true
		for i := 0; ok && to.link != "" && i < longest; i++ {
			var j int
			if j, ok = at[to.link]; ok {
				to = g.members[j]
			}
		}
		if m.link == "" {
			kept = append(kept, m)
			continue
		}
		if m.group == 0 { // passed over for its name
			continue
		}
		if !ok || !to.file() {
			g.passed.Add(passedLink, m.name)
			continue
		}
		m.offset, m.size, m.labels = to.offset, to.size, to.labels
		if last := lastExt(m.field); m.labels == nil && slices.Contains(labelFields, last) {
			m.labels = tarLabels{{last, tarLabel{fault: fmt.Sprintf("it is a link to %q, which is not read as a label", to.name)}}}
		}
		kept = append(kept, m)
	}
	g.members = kept
}

// wdsSample is a sample while it is put together.
type wdsSample struct {
	image  int // its image among the members
	labels []int
}

// columns are the samples of the tar, once all members are added.
func (g *grouper) columns() (*columns, error) {
	g.follow()
	g.members = slices.DeleteFunc(g.members, func(m wdsMember) bool { return m.group == 0 })
	samples, rest, err := g.images()
	if err != nil {
		return nil, err
	}
	source := g.fields.label
	if source == "" {
		var all []tarLabels
		for _, m := range g.members {
			if m.labels != nil {
				all = append(all, m.labels)
			}
		}
		source = labelSource(all)
		g.joinSources(source)
	}
	c := &columns{offsets: []int64{}, reading: g.reading(samples, source)}
	if rest, err = g.joinLabels(samples, rest, source); err != nil {
		return nil, err
	}
	g.passRest(samples, rest, source)
	numbers := make([]*tarLabel, len(samples))
	for i, s := range samples {
		m := g.members[s.image]
		if numbers[i], err = g.label(s, source); err != nil {
			return nil, err
		}
		if m.size > 1<<32-1 {
			return nil, faultAt(m, "member %q has %d bytes", m.name, m.size)
		}
		if err := c.addName([]byte(m.name)); err != nil {
			return nil, err
		}
		c.sizes = append(c.sizes, uint32(m.size))
		c.offsets = append(c.offsets, m.offset)
	}
	c.passed = g.passed
	if err := c.numberLabels(numbers); err != nil {
		return nil, &fieldError{errs.BecauseErr(errs.ErrCorrupt, err), "write all labels of the set as numbers, or all as names; or leave them out by ?label=" + noLabels}
	}
	return c, nil
}

// joinSources makes the .json labels of the keys that have no label member labels of the
// source: some samples of a shard may have the one, and some the other.
func (g *grouper) joinSources(source string) {
	if !slices.Contains(labelFields, source) {
		return
	}
	has := map[string]bool{}
	for i, m := range g.members {
		if g.says(i, source) {
			has[m.key] = true
		}
	}
	var others []tarLabels
	for _, m := range g.members {
		if m.labels != nil && !has[m.key] && lastExt(m.field) == "json" {
			others = append(others, m.labels)
		}
	}
	other := labelSource(others)
	if other == "" {
		return
	}
	for i, m := range g.members {
		if l, ok := m.labels.of(other); ok && !has[m.key] {
			g.members[i].labels = tarLabels{{source, l}}
		}
	}
}

func faultAt(m wdsMember, format string, a ...any) error {
	return &tarError{offset: m.header, why: fmt.Sprintf(format, a...)}
}

// fieldError is about the fields of samples: the tar itself is whole.
type fieldError struct {
	err  error
	hint string
}

func (e *fieldError) Error() string { return e.err.Error() }

// imageRank is how much a field is preferred as the image: 0 most, -1 for none. stem is
// the one that the shard's images have.
func (f wdsFields) imageRank(field, stem string) int {
	if f.image != nil {
		return slices.Index(f.image, field)
	}
	if s, ok := imageStem(field); ok && s == stem {
		return 0
	}
	return -1
}

// imageStem is the stem of the fields that hold the shard's images.
func (g *grouper) imageStem() (string, error) {
	first := map[string]wdsMember{}
	for _, m := range g.members {
		if stem, ok := imageStem(m.field); ok {
			if _, have := first[stem]; !have {
				first[stem] = m
			}
		}
	}
	if _, bare := first[""]; bare || len(first) == 0 || g.fields.image != nil {
		return "", nil
	}
	stems := slices.Sorted(maps.Keys(first))
	if len(stems) > 1 {
		a, b := first[stems[0]], first[stems[1]]
		return "", imagesError(a, b)
	}
	return stems[0], nil
}

func imagesError(a, b wdsMember) error {
	why := "more than one picture may be the image of a sample"
	if a.key == b.key {
		why = fmt.Sprintf("more than one picture has the key %q", a.key)
	}
	return &fieldError{
		errs.Because(errs.ErrUsage, fmt.Sprintf("%s: %q and %q", why, a.name, b.name)),
		fmt.Sprintf("name its field, as in ?image=%s after the shards, or both as in ?image=%s;%s", a.field, a.field, b.field),
	}
}

// images chooses the image of each sample, in the order of the members; rest are the
// other members.
func (g *grouper) images() (samples []wdsSample, rest []int, err error) {
	stem, err := g.imageStem()
	if err != nil {
		return nil, nil, err
	}
	last := map[string]int{} // the image that a key had last
	for i := 0; i < len(g.members); {
		end := i
		image, best := -1, -1
		for ; end < len(g.members) && g.members[end].group == g.members[i].group; end++ {
			m := g.members[end]
			rank := g.fields.imageRank(m.field, stem)
			switch {
			case rank < 0:
				continue
			case m.size == 0:
				g.emptied[m.key] = true
				g.passed.Add(passEmpty, m.name)
				continue
			case image >= 0 && g.members[image].field == m.field:
				return nil, nil, faultAt(m, "second member %q", m.name)
			case image >= 0 && g.fields.image == nil:
				return nil, nil, imagesError(g.members[image], m)
			}
			if image < 0 || rank < best {
				image, best = end, rank
			}
		}
		if image >= 0 {
			m := g.members[image]
			// Apart they are two samples, by WebDataset's rule, unless one is the mask of the other.
			if before, ok := last[m.key]; ok && g.fields.image == nil && g.members[before].field != m.field {
				return nil, nil, imagesError(g.members[before], m)
			}
			last[m.key] = image
			samples = append(samples, wdsSample{image: image})
		}
		for k := i; k < end; k++ {
			switch {
			case k == image:
			case g.members[k].size == 0 && g.fields.imageRank(g.members[k].field, stem) >= 0: // it is counted
			case image >= 0 && g.members[k].labels != nil:
				samples[len(samples)-1].labels = append(samples[len(samples)-1].labels, k)
			default:
				rest = append(rest, k)
			}
		}
		i = end
	}
	return samples, rest, nil
}

// joinLabels gives the labels among the rest to the images of their keys: where all
// images come first, then all labels. It returns what is left.
func (g *grouper) joinLabels(samples []wdsSample, rest []int, source string) (left []int, err error) {
	if source == "" || source == noLabels || !slices.ContainsFunc(rest, func(i int) bool { return g.says(i, source) }) {
		return rest, nil
	}
	byKey := map[string][]int{}
	for s := range samples {
		key := g.members[samples[s].image].key
		byKey[key] = append(byKey[key], s)
	}
	given := map[int]bool{} // samples that had no label in their group
	for _, i := range rest {
		m := g.members[i]
		if !g.says(i, source) || len(byKey[m.key]) == 0 {
			left = append(left, i)
			continue
		}
		var open []int
		for _, s := range byKey[m.key] {
			if given[s] || !slices.ContainsFunc(samples[s].labels, func(k int) bool { return g.says(k, source) }) {
				open = append(open, s)
			}
		}
		switch {
		case len(open) == 0:
			g.passed.Add(passedAgain, m.name)
		case len(open) == 1 && !given[open[0]]:
			given[open[0]] = true
			samples[open[0]].labels = append(samples[open[0]].labels, i)
		default:
			return nil, faultAt(m, "label %q is apart from its image, and its key has several: members are out of order", m.name)
		}
	}
	return left, nil
}

// says reports whether member i has a label from the source.
func (g *grouper) says(i int, source string) bool {
	_, ok := g.members[i].labels.of(source)
	return ok
}

// label is the label of a sample, nil without one. The member that is named as the image,
// v2.cls beside v2.jpg, goes before one that is named by the key alone.
func (g *grouper) label(s wdsSample, source string) (*tarLabel, error) {
	best, rank := -1, 0
	image := g.members[s.image].field
	stem := image[:strings.LastIndexByte(image, '.')+1]
	for _, i := range s.labels {
		if !g.says(i, source) {
			continue
		}
		r := 0
		switch f := g.members[i].field; {
		case f == g.fields.label:
			r = 3
		case f[:strings.LastIndexByte(f, '.')+1] == stem:
			r = 2
		case !strings.Contains(f, "."):
			r = 1
		}
		if best >= 0 && r == rank {
			return nil, faultAt(g.members[i], "second label %q", g.members[i].name)
		}
		if best < 0 || r > rank {
			best, rank = i, r
		}
	}
	if best < 0 {
		return nil, nil
	}
	l, _ := g.members[best].labels.of(source)
	if l.fault != "" {
		m := g.members[best]
		why := fmt.Sprintf("label of %q: %s", m.name, l.fault)
		if key, ok := strings.CutPrefix(source, jsonPrefix); ok {
			why = fmt.Sprintf("label %q of %q: %s", key, m.name, l.fault)
		}
		return nil, &tarError{
			offset: m.header, why: why,
			hint: "mend that member; or name the field that holds the labels by ?label=FIELD after the shards, or leave them out by ?label=" + noLabels,
		}
	}
	return &l, nil
}

// passRest counts the members that are neither image nor label of a sample.
func (g *grouper) passRest(samples []wdsSample, rest []int, source string) {
	has := map[string]bool{}
	for _, s := range samples {
		has[g.members[s.image].key] = true
		for _, i := range s.labels {
			if !g.says(i, source) {
				rest = append(rest, i)
			}
		}
	}
	lost, kinds := g.emptied, map[string]bool{}
	for _, i := range rest {
		m := g.members[i]
		if !has[m.key] {
			if !lost[m.key] {
				g.passed.Add(passedImages, m.name)
			}
			lost[m.key] = true
			continue
		}
		reason := "other members of samples (." + lastExt(m.field) + ")"
		if _, ok := imageStem(m.field); ok {
			reason = "pictures beside the image of a sample (." + lastExt(m.field) + ")"
		}
		if kinds[reason] = true; len(kinds) > maxPassedKinds {
			reason = "other members of samples"
		}
		g.passed.Add(reason, m.name)
	}
}

// maxPassedKinds caps the extensions that a shard's survey tells apart: a tar may have
// another one for each member.
const maxPassedKinds = 16

func lastExt(field string) string { return field[strings.LastIndexByte(field, '.')+1:] }

// reading says how the samples were put together where it is not in the plain way, with
// the image in a field such as jpg and the label in cls.
func (g *grouper) reading(samples []wdsSample, source string) string {
	var out []string
	switch {
	case g.fields.image != nil:
		out = append(out, "image="+strings.Join(g.fields.image, ";"))
	case len(samples) > 0:
		if stem, _ := imageStem(g.members[samples[0].image].field); stem != "" {
			out = append(out, "image="+stem)
		}
	}
	if source != "" && source != labelFields[0] {
		out = append(out, "label="+source)
	}
	return strings.Join(out, "&")
}
