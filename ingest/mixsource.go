package ingest

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"sync/atomic"

	"resslt/schemas"
	"resslt/schemas/errs"
)

// mixSource is a mixture: the samples of all sets, one set after the other. Id i is sample
// i mod n, so that an epoch can give a sample again under an id that it has not had
// (mixorder.go).
type mixSource struct {
	manifest *Manifest
	ids      int64
	sets     []mixedSource
	toVerify int64 // units of all sets
	closed   atomic.Bool
}

// mixedSource is one set.
type mixedSource struct {
	Source
	name, uri string
	first     int64   // id of its first sample
	unit      int64   // number of its first unit to verify
	labels    []int32 // the mixture's label for each of its own; nil where it has no classes
}

// MixedSet describes one set of a mixture.
type MixedSet struct {
	Name   string `json:"name"`
	Digest string `json:"digest"` // of the set's manifest
	schemas.MixedSet
}

// join makes one manifest of the opened sets'.
func (s *mixSource) join(place, split string, parts []mixPart) error {
	m := &Manifest{Format: "mix", Split: split}
	label := map[string]int32{}
	weights := make([]float64, len(parts))
	for c := range s.sets {
		set := &s.sets[c]
		from := set.Manifest()
		if Packed(from.Format) && !Packed(m.Format) {
			m.Format += packedEnd
		}
		set.first = m.Samples
		m.Samples += from.Samples
		for _, shard := range from.Shards {
			shard.Name = set.name + "/" + shard.Name
			m.Shards = append(m.Shards, shard)
		}
		for _, class := range set.classes() {
			at, known := label[class]
			if !known {
				at = int32(len(m.Classes))
				label[class] = at
				m.Classes = append(m.Classes, class)
			}
			set.labels = append(set.labels, at)
		}
		set.unit = s.toVerify
		if v, ok := set.Source.(verifier); ok {
			n, _ := v.units()
			s.toVerify += n
		}
		weights[c] = float64(from.Samples)
		if parts[c].Weight != nil {
			weights[c] = *parts[c].Weight
		}
	}
	draws, err := quotas(m.Samples, weights)
	if err != nil {
		return errs.New(mixOp, place, "raise the smallest weight, or leave that set out", err)
	}
	for c, set := range s.sets {
		m.Sets = append(m.Sets, MixedSet{set.name, set.Manifest().Digest(), schemas.MixedSet{Samples: set.Len(), Draws: draws[c]}})
	}
	spec := m.Spec()
	s.manifest, s.ids = m, m.Samples*spec.Repeats()
	return nil
}

// classes are the names that a set's labels have in the mixture: equal names are one class.
// Labels without names are numbers that mean nothing in another set, and keep apart.
func (s *mixedSource) classes() (out []string) {
	if _, several := s.Source.(MultiLabel); several {
		return nil
	}
	if named := s.Manifest().Classes; len(named) > 0 {
		return named
	}
	for _, number := range LabellingOf(s.Source).Classes {
		out = append(out, s.name+"/"+number)
	}
	return out
}

// label is the mixture's for a set's own.
func (s *mixedSource) label(own int32) int32 {
	if own < 0 || int(own) >= len(s.labels) {
		return schemas.NoLabel
	}
	return s.labels[own]
}

func (s *mixSource) Manifest() *Manifest { return s.manifest }
func (s *mixSource) Len() int64          { return s.manifest.Samples }

// at is the set of an id, and its own id there.
func (s *mixSource) at(id int64) (set *mixedSource, own int64) {
	id %= s.manifest.Samples
	c := sort.Search(len(s.sets), func(i int) bool { return s.sets[i].first > id }) - 1
	return &s.sets[c], id - s.sets[c].first
}

func (s *mixSource) Read(ctx context.Context, id int64, dst *schemas.Sample) error {
	known := id
	if id >= 0 && id < s.ids {
		known %= s.manifest.Samples
	}
	if err := checkID(ctx, s.manifest, s.closed.Load(), known); err != nil {
		return err
	}
	set, own := s.at(id)
	if err := set.Read(ctx, own, dst); err != nil {
		return set.named(err)
	}
	dst.ID, dst.Key, dst.Label = id, set.name+"/"+dst.Key, set.label(dst.Label)
	return nil
}

// named is an error of the set's. A bad sample keeps its own name, by which it is counted.
func (s *mixedSource) named(err error) error {
	if schemas.AsBadSample(err) != nil {
		return err
	}
	return fmt.Errorf("set %s of the mixture: %w", s.name, err)
}

func (s *mixSource) confirm(ctx context.Context, sample *schemas.Sample) error {
	set, own := s.at(sample.ID)
	theirs := *sample
	theirs.ID, theirs.Key = own, sample.Key[len(set.name)+1:]
	if err := Confirm(ctx, set.Source, &theirs); err != nil {
		return set.named(err)
	}
	return nil
}

// labelling adds up that of the sets.
func (s *mixSource) labelling() Labelling {
	l := Labelling{Classes: s.manifest.Classes, Highest: int32(len(s.manifest.Classes)) - 1}
	for i := range s.sets {
		if set := &s.sets[i]; len(set.labels) > 0 {
			l.Without += LabellingOf(set.Source).Without
		} else {
			l.Without += set.Len()
		}
	}
	return l
}

// Survey is what the readers of all sets passed over.
func (s *mixSource) Survey() (out Survey) {
	for _, set := range s.sets {
		out.Merge(set.name+"/", SurveyOf(set.Source))
	}
	return out
}

func (s *mixSource) units() (n, bytes int64) { return s.toVerify, s.manifest.Bytes() }

func (s *mixSource) verify(ctx context.Context, i int64, m *meter) (*Damage, error) {
	c := sort.Search(len(s.sets), func(c int) bool { return s.sets[c].unit > i }) - 1
	d, err := s.sets[c].Source.(verifier).verify(ctx, i-s.sets[c].unit, m)
	if d != nil {
		d.Shard = s.sets[c].name + "/" + d.Shard
	}
	return d, err
}

func (s *mixSource) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	return s.closeSets()
}

func (s *mixSource) closeSets() error {
	failed := make([]error, len(s.sets))
	for i, set := range s.sets {
		failed[i] = set.Source.Close()
	}
	return errors.Join(failed...)
}
