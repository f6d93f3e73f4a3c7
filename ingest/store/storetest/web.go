package storetest

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
)

// Web is a web server over a folder.
type Web struct {
	Injector
	URL string

	t      testing.TB
	folder string
}

// StartWeb starts a web server; tags has it send ETags.
func StartWeb(t testing.TB, tags bool) *Web {
	s := &Web{t: t, folder: t.TempDir()}
	s.whole = func(r *http.Request) []byte { return fileOf(s.folder, r.URL.Path) }
	front := httptest.NewServer(s.wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := filepath.Join(s.folder, filepath.FromSlash(r.URL.Path))
		info, err := os.Stat(path)
		b := fileOf(s.folder, r.URL.Path)
		if err != nil || b == nil {
			http.NotFound(w, r)
			return
		}
		if tags {
			w.Header().Set("ETag", fmt.Sprintf("%q", fmt.Sprintf("%x", sha256.Sum256(b))[:16]))
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		http.ServeContent(w, r, "", info.ModTime(), bytes.NewReader(b))
	})))
	t.Cleanup(front.Close)
	s.URL = front.URL
	return s
}

// fileOf is the file below a folder; nil where there is none.
func fileOf(folder, path string) []byte {
	b, err := os.ReadFile(filepath.Join(folder, filepath.FromSlash(path)))
	if err != nil {
		return nil
	}
	return b
}

// Put stores a file and gives its name.
func (s *Web) Put(key string, data []byte) string {
	s.t.Helper()
	path := filepath.Join(s.folder, filepath.FromSlash(key))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		s.t.Fatal(err)
	}
	return s.URL + "/" + key
}
