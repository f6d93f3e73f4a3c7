package ingest

import (
	"fmt"

	"resslt/schemas"
)

// Differences says in what a data set differs from another, for people: classes, and the
// first shard. It is empty for manifests of equal digests.
func (m *Manifest) Differences(was *Manifest) (d schemas.Differences) {
	d.Add("data format", m.Format, was.Format)
	d.Add("split", m.Split, was.Split)
	d.Add("number of samples", m.Samples, was.Samples)
	d.Add("number of classes", len(m.Classes), len(was.Classes))
	for i := range min(len(m.Classes), len(was.Classes)) {
		if m.Classes[i] != was.Classes[i] {
			d.Add(fmt.Sprintf("class %d", i), m.Classes[i], was.Classes[i])
			break
		}
	}
	for i := range min(len(m.Sets), len(was.Sets)) {
		d.Add(fmt.Sprintf("set %d", i), m.Sets[i], was.Sets[i])
	}
	for i := range max(len(m.Shards), len(was.Shards)) {
		is, other := shardAt(m, i), shardAt(was, i)
		if is == other {
			continue
		}
		if is != nil && other != nil && *is == *other {
			continue
		}
		d = append(d, shardDifference(is, other))
		break
	}
	return d
}

func shardAt(m *Manifest, i int) *Shard {
	if i < len(m.Shards) {
		return &m.Shards[i]
	}
	return nil
}

// shardDifference describes the first shard that differs.
func shardDifference(is, was *Shard) schemas.Difference {
	describe := func(s, other *Shard) string {
		switch {
		case s == nil:
			return "missing"
		case other == nil || s.Name != other.Name:
			return s.Name
		case s.Samples != other.Samples:
			return counted(s.Samples, "sample")
		case s.Bytes != other.Bytes:
			return counted(s.Bytes, "byte")
		}
		return fmt.Sprintf("SHA-256 %.12s", s.SHA256)
	}
	key := "first shard that differs"
	if is != nil && was != nil && is.Name == was.Name {
		key = "shard " + is.Name
	}
	return schemas.Difference{Key: key, Is: describe(is, was), Was: describe(was, is)}
}

// counted is a number of things: "1 sample", "2 samples".
func counted(n int64, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprint(n, " ", thing)
}
