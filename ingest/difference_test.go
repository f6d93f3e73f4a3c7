package ingest

import "testing"

func TestManifestDifferences(t *testing.T) {
	make := func() *Manifest {
		return &Manifest{
			Format: "wds", Split: "train", Samples: 6, Classes: []string{"cat", "dog"},
			Shards: []Shard{{"a.tar", 10, "aaaa", 2}, {"b.tar", 20, "bbbb", 2}, {"c.tar", 30, "cccc", 2}},
		}
	}
	for want, change := range map[string]func(*Manifest){
		"": func(*Manifest) {},
		"number of samples is 8, the run has 6; shard b.tar is 4 samples, the run has 2 samples": func(m *Manifest) {
			m.Samples, m.Shards[1].Samples, m.Shards[1].SHA256 = 8, 4, "x"
		},
		"class 1 is fox, the run has dog":                        func(m *Manifest) { m.Classes[1] = "fox" },
		"number of classes is 3, the run has 2":                  func(m *Manifest) { m.Classes = append(m.Classes, "fox") },
		"shard c.tar is SHA-256 dddd, the run has SHA-256 cccc":  func(m *Manifest) { m.Shards[2].SHA256 = "dddd" },
		"shard a.tar is 11 bytes, the run has 10 bytes":          func(m *Manifest) { m.Shards[0].Bytes = 11 },
		"first shard that differs is missing, the run has c.tar": func(m *Manifest) { m.Shards = m.Shards[:2] },
		"first shard that differs is d.tar, the run has missing": func(m *Manifest) { m.Shards = append(m.Shards, Shard{Name: "d.tar"}) },
		"first shard that differs is b2.tar, the run has b.tar":  func(m *Manifest) { m.Shards[1].Name = "b2.tar" },
		"split is val, the run has train":                        func(m *Manifest) { m.Split = "val" },
		"data format is folder, the run has wds":                 func(m *Manifest) { m.Format = "folder" },
	} {
		is, was := make(), make()
		change(is)
		d := is.Differences(was)
		if got := d.Text("the run has"); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		if (len(d) == 0) != (is.Digest() == was.Digest()) {
			t.Errorf("%q: %d differences of digests %.8s and %.8s", want, len(d), is.Digest(), was.Digest())
		}
	}
}
