package ingest

import (
	"archive/tar"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestLabelling: labels count as labels whether they have names or not.
func TestLabelling(t *testing.T) {
	shard := func(t *testing.T, labels ...string) string {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		add := func(name, text string) {
			if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text))}); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write([]byte(text)); err != nil {
				t.Fatal(err)
			}
		}
		for i, l := range labels {
			add(fmt.Sprintf("%03d.png", i), "image")
			if l != "" {
				add(fmt.Sprintf("%03d.cls", i), l)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "t.tar"), b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return "wds:" + filepath.Join(dir, "t.tar")
	}
	folder := func(t *testing.T, files ...string) string {
		dir := t.TempDir()
		for _, f := range files {
			path := filepath.Join(dir, f)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte("image"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		return "folder:" + dir
	}
	for name, c := range map[string]struct {
		uri     string
		classes []string
		without int64
	}{
		"numbers":            {shard(t, "0", "2", "1", "0"), []string{"0", "1", "2"}, 0},
		"one class":          {shard(t, "0", "0"), []string{"0"}, 0},
		"a class is missing": {shard(t, "0", "3"), []string{"0", "1", "2", "3"}, 0},
		"none":               {shard(t, "", ""), nil, 2},
		"some":               {shard(t, "0", "", "1"), []string{"0", "1"}, 1},
		"no classes":         {shard(t, "0", "70000"), nil, 0},
		"class folders":      {folder(t, "cat/a.jpg", "dog/b.jpg"), []string{"cat", "dog"}, 0},
		"no class folders":   {folder(t, "a.jpg", "b.jpg"), nil, 2},
	} {
		t.Run(name, func(t *testing.T) {
			src, err := Open(t.Context(), c.uri, Options{CacheDir: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			defer src.Close()
			if l := LabellingOf(src); !slices.Equal(l.Classes, c.classes) || l.Without != c.without {
				t.Errorf("%+v, want classes %q, %d without", l, c.classes, c.without)
			}
		})
	}
}
