package ingest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	"resslt/schemas"
)

// Manifest describes a data set by content. The place where the data lies is no
// part of it: all names are relative, so copies have equal digests.
type Manifest struct {
	Format  string   `json:"format"`  // scheme of the URI: "folder", "cifar10"
	Split   string   `json:"split"`   // "train", "test", "unlabeled", "train+unlabeled"
	Samples int64    `json:"samples"` // n
	Classes []string `json:"classes"` // name of label i; empty where there are no labels or no names
	Shards  []Shard  `json:"shards"`  // in the order of the samples they hold
}

// Shard is a unit of content: a tar, one file of a binary set, or one class
// folder with all files below it.
type Shard struct {
	Name    string `json:"name"`    // relative, '/'-separated
	Bytes   int64  `json:"bytes"`   // of a gzipped IDX file, the bytes after decompression
	SHA256  string `json:"sha256"`  // hex; of the bytes, or of a folder's list (see folderSum)
	Samples int64  `json:"samples"` // zero for a file that holds labels alone
}

// Digest is the hex SHA-256 of the manifest's JSON, fields in declaration order.
// It changes with any image byte, any label, any class name and the numbering.
func (m *Manifest) Digest() string {
	c := *m
	// An empty list and none at all mean the same and must read the same.
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

// ShardSamples are the samples of each shard that has some, in the order of ids: what
// a blocked order needs to know.
func (m *Manifest) ShardSamples() []int64 {
	var out []int64
	for _, s := range m.Shards {
		if s.Samples > 0 {
			out = append(out, s.Samples)
		}
	}
	return out
}

// Spec is the data set as a run spec names it.
func (m *Manifest) Spec() schemas.DatasetSpec {
	return schemas.DatasetSpec{Digest: m.Digest(), Format: m.Format, Split: m.Split, Samples: m.Samples}
}
