package store_test

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"resslt/schemas/errs"
)

// A plain file server: ranges and times, no versions.
func TestWeb(t *testing.T) {
	dir := t.TempDir()
	data := content(10, 500_000)
	path := filepath.Join(dir, "a b", "x.tar")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	var method atomic.Pointer[string]
	files := http.FileServer(http.Dir(dir))
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if m := method.Load(); m != nil && *m == r.Method {
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		if strings.HasPrefix(r.URL.Path, "/secret/") {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		files.ServeHTTP(w, r)
	}))
	defer srv.Close()
	name := srv.URL + "/a b/x.tar"
	s := quick(t, t.TempDir())
	readAll(t, open(t, s, name), data)
	kept := open(t, s, name)
	kept.Keep = true
	readAll(t, kept, data)
	head := http.MethodHead
	method.Store(&head) // some servers sign GET alone
	readAll(t, open(t, s, name), data)
	method.Store(nil)

	ctx := context.Background()
	for place, want := range map[string]error{"/none": fs.ErrNotExist, "/secret/x": fs.ErrPermission} {
		_, err := s.Open(ctx, srv.URL+place)
		if !errors.Is(err, want) {
			t.Errorf("%s: %v", place, err)
		}
		oneLine(t, err)
	}
	if _, err := s.List(ctx, srv.URL+"/a b"); !errors.Is(err, errs.ErrUnsupported) || !strings.Contains(err.Error(), "manifest") {
		t.Errorf("listing: %v", err)
	}
	f := open(t, s, name)
	if err := os.WriteFile(path, data[:len(data)-1], 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := f.ReadAt(ctx, make([]byte, 10), 5)
	if !errors.Is(err, errs.ErrMismatch) {
		t.Errorf("replaced: %v", err)
	}
	oneLine(t, err)
}

func TestWebVersions(t *testing.T) {
	var tag atomic.Pointer[string]
	one, two := `"1"`, `"2"`
	tag.Store(&one)
	ranges := true
	data := content(11, 10_000)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", *tag.Load())
		if !ranges {
			r.Header.Del("Range")
		}
		http.ServeContent(w, r, "x", fixedTime, strings.NewReader(string(data)))
	}))
	defer srv.Close()
	s, ctx := quick(t, t.TempDir()), context.Background()
	f := open(t, s, srv.URL+"/x")
	p := make([]byte, 100)
	if _, err := f.ReadAt(ctx, p, 50); err != nil || string(p) != string(data[50:150]) {
		t.Fatal(err)
	}
	tag.Store(&two)
	if _, err := f.ReadAt(ctx, p, 50); !errors.Is(err, errs.ErrMismatch) {
		t.Errorf("another version: %v", err)
	}
	f = open(t, s, srv.URL+"/x")
	ranges = false
	if _, err := f.ReadAt(ctx, p, 50); err != nil || string(p) != string(data[50:150]) {
		t.Errorf("no ranges: the part was not cut from the whole: %v", err)
	}
}
