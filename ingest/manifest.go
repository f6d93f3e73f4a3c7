package ingest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	"resslt/schemas"
)

// Manifest describes a data set by content. Its location is no part of it: all names
// are relative, so that copies have equal digests.
type Manifest struct {
	Format  string   `json:"format"`  // scheme of the URI: "folder", "cifar10"
	Split   string   `json:"split"`   // "train", "test", "unlabeled", "train+unlabeled"
	Samples int64    `json:"samples"` // n
	Classes []string `json:"classes"` // name of label i; empty where there are no labels or no names
	Shards  []Shard  `json:"shards"`  // in the order of the samples in them

	// Reading says which members of tars are the images and the labels, where it is not
	// as usual: "image=input&label=json.label".
	Reading string `json:"reading,omitempty"`

	// Sets are those of a mixture, in the order of their samples; empty for other data.
	Sets []MixedSet `json:"sets,omitempty"`

	// Mates is K where each sample has so many mates; 0 for other data.
	Mates int64 `json:"mates,omitempty"`
}

// Shard is a unit of content: a tar, one file of a binary set, or one class
// folder with all files below it.
type Shard struct {
	Name    string `json:"name"`    // relative, '/'-separated
	Bytes   int64  `json:"bytes"`   // of a gzipped IDX file, the bytes after decompression
	SHA256  string `json:"sha256"`  // hex; of the bytes, or of a folder's list (see folderSum)
	Samples int64  `json:"samples"` // zero for a file of labels
}

// Digest is the hex SHA-256 of the manifest's JSON, fields in declaration order.
// It changes with any image byte, any label, any class name and the numbering.
func (m *Manifest) Digest() string {
	c := *m
	// An empty list and a missing one mean the same and must give the same digest.
	if c.Classes == nil {
		c.Classes = []string{}
	}
	if c.Shards == nil {
		c.Shards = []Shard{}
	}
	b, err := json.Marshal(&c)
	if err != nil {
		// Marshal cannot fail on strings and integers.
		return "unmarshalable"
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// Bytes is the size of all shards.
func (m *Manifest) Bytes() int64 {
	var n int64
	for _, s := range m.Shards {
		n += s.Bytes
	}
	return n
}

// ShardSamples are the numbers of samples of the shards that have some, in the order of
// ids. Blocked orders depend on them.
func (m *Manifest) ShardSamples() []int64 {
	var out []int64
	for _, s := range m.Shards {
		if s.Samples > 0 {
			out = append(out, s.Samples)
		}
	}
	return out
}

// Spec describes the data set in a run spec.
func (m *Manifest) Spec() schemas.DatasetSpec {
	d := schemas.DatasetSpec{Digest: m.Digest(), Format: m.Format, Split: m.Split, Samples: m.Samples}
	if m.Mates > 0 { // an image and one of its mates
		d.Samples, d.Mates = 2*m.Samples, m.Mates
	}
	for _, set := range m.Sets {
		d.Mix = append(d.Mix, set.MixedSet)
	}
	return d
}
