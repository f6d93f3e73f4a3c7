package ingest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Shards that are copies of others are samples, each of them, and are said.
func TestShardCopies(t *testing.T) {
	tar := func(i byte) []byte {
		return tarBytes(t, tarFile{"1.jpg", []byte{0xff, 0xd8, 0xff, i}}, tarFile{"1.cls", []byte("0")})
	}
	table := func(i byte) []byte {
		return parquetTable(t, "", column{"image", blobs, []any{[]byte{0xff, 0xd8, 0xff, i}}})
	}
	for _, k := range []struct {
		scheme, end string
		shard       func(byte) []byte
	}{{"wds", ".tar", tar}, {"parquet", ".parquet", table}} {
		for _, c := range []struct {
			names string // with their contents
			links string // to the first of names
			n     int64
			says  string
		}{
			{"train-000=1 train-001=2", "", 2, ""},
			{"train-000=1 train-000@(1)=1 train-001=2", "", 3, `kept 1 copy of another shard (first "train-000 (1)EXT")`},
			{"a=1 b=2 c=1 d=2 e=3", "", 5, `kept 2 copies of other shards (first "cEXT")`},
			{"a=1 b=2", "hard", 3, `kept 1 copy of another shard (first "zEXT")`},
			{"a=1 b=2", "symbolic", 3, `kept 1 copy of another shard (first "zEXT")`},
		} {
			dir := t.TempDir()
			files := map[string][]byte{}
			for _, f := range strings.Fields(c.names) {
				name, content, _ := strings.Cut(f, "=")
				files[strings.ReplaceAll(name, "@", " ")+k.end] = k.shard(content[0])
			}
			writeTree(t, dir, files)
			link := map[string]func(string, string) error{"hard": os.Link, "symbolic": os.Symlink}[c.links]
			if link != nil {
				if err := link(filepath.Join(dir, "a"+k.end), filepath.Join(dir, "z"+k.end)); err != nil {
					t.Fatal(err)
				}
			}
			cache := t.TempDir()
			for range 2 {
				src, err := Open(t.Context(), k.scheme+":"+dir, Options{CacheDir: cache})
				if err != nil {
					t.Fatal(err)
				}
				if got, want := SurveyOf(src).String(), strings.ReplaceAll(c.says, "EXT", k.end); got != want || src.Len() != c.n {
					t.Errorf("%s: %s: %d samples, %q, want %q", k.scheme, c.names, src.Len(), got, want)
				}
				src.Close()
			}
		}
	}
}
