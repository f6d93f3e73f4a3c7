package ingest

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// A survey says the same in whatever order things were passed over.
func TestSurveyIsSorted(t *testing.T) {
	type thing struct{ reason, name string }
	things := []thing{{"empty files", "b/1.jpg"}, {"empty files", "a/2.jpg"}, {"links that lead nowhere", "c.jpg"}, {"empty files", "b/0.jpg"}}
	const want = `passed over 4: 3 empty files (first "x/a/2.jpg"); 1 link that leads nowhere (first "x/c.jpg")`
	for range 24 {
		rand.Shuffle(len(things), func(i, j int) { things[i], things[j] = things[j], things[i] })
		var half, all Survey
		for i, p := range things {
			if i%2 == 0 {
				half.Add(p.reason, p.name)
			} else {
				all.Add(p.reason, "x/"+p.name)
			}
		}
		all.Merge("x/", half)
		if got := all.String(); got != want {
			t.Fatalf("%s\nwant\n%s", got, want)
		}
	}
	if s := (Survey{}).String(); s != "" {
		t.Error(s)
	}
}

// Published indexes of format 1 describe their shards still; caches of it are built again.
func TestIndexFormats(t *testing.T) {
	opt := Options{CacheDir: t.TempDir()}
	c := openCache(opt, "wds", "/x", Train)
	x := newIndex()
	x.Stamps = []stamp{{Size: 1024}}
	if err := x.addShard(Shard{Name: "a.tar"}, &columns{offsets: []int64{}, passed: Survey{{Reason: "r", Count: 2, First: "n"}}}); err != nil {
		t.Fatal(err)
	}
	c.store(x)
	again := c.load()
	if again == nil || !slices.Equal(again.survey(), Survey{{Reason: "r", Count: 2, First: "a.tar/n"}}) {
		t.Fatalf("%+v", again)
	}
}
