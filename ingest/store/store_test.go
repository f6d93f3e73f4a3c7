package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"resslt/ingest/store"
	"resslt/ingest/store/storetest"
	"resslt/schemas/errs"
	"resslt/schemas/errs/errstest"
)

// content is n bytes that no compression or mix-up leaves as they are.
func content(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func open(t *testing.T, s *store.Store, name string) *store.File {
	t.Helper()
	f, err := s.Open(context.Background(), name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// quick is a store whose patience a test can wait for.
func quick(t *testing.T, cache string) *store.Store {
	t.Helper()
	s := store.New(store.Options{CacheDir: cache, Attempts: 4, Patience: 500 * time.Millisecond})
	t.Cleanup(func() { s.Close() })
	return s
}

// readAll compares the file with want, read in pieces out of order.
func readAll(t *testing.T, f *store.File, want []byte) {
	t.Helper()
	const piece = 70_000
	for _, lo := range []int{2 * piece, 0, piece, len(want) - piece/2} {
		p := make([]byte, min(piece, len(want)-lo))
		if n, err := f.ReadAt(context.Background(), p, int64(lo)); err != nil || n != len(p) || !bytes.Equal(p, want[lo:lo+len(p)]) {
			t.Fatalf("%s at %d: %d bytes, %v", f.Name, lo, n, err)
		}
	}
	r := f.Reader(context.Background())
	defer r.Close()
	if all, err := io.ReadAll(r); err != nil || !bytes.Equal(all, want) {
		t.Fatalf("%s: %d bytes of %d, %v", f.Name, len(all), len(want), err)
	}
}

func oneLine(t *testing.T, err error) {
	t.Helper()
	if s := errs.New("read", "x", "y", err).Error(); strings.Contains(s, "\n") || len(s) > 400 {
		t.Errorf("not one line, or a long one: %q", s)
	}
}

func TestS3(t *testing.T) {
	srv := storetest.Start(t)
	ctx := context.Background()
	data := content(1, 500_000)
	name := srv.Put("a/b/one.tar", data)
	for _, key := range []string{"a/b/two.tar", "a/b/two.txt", "a/b/c/three.tar", "a/bb/four.tar"} {
		srv.Put(key, []byte(key))
	}
	s := quick(t, t.TempDir())
	readAll(t, open(t, s, name), data)

	found, err := s.List(ctx, "s3://data/a/b")
	var names []string
	for _, f := range found {
		names = append(names, f.Name)
	}
	if want := []string{"c/three.tar", "one.tar", "two.tar", "two.txt"}; err != nil || !slices.Equal(names, want) {
		t.Errorf("listed %v, %v; want %v", names, err, want)
	}
	info, err := s.Stat(ctx, name)
	if err != nil || info.Size != int64(len(data)) || info.Version == "" {
		t.Errorf("stat %+v, %v", info, err)
	}
	if i := slices.Index(names, "one.tar"); i >= 0 && (found[i].Version != info.Version || found[i].Size != info.Size) {
		t.Errorf("listed as %+v, alone as %+v", found[i], info)
	}
	for pattern, want := range map[string]int{
		"s3://data/a/b/*.tar": 2, "s3://data/a/b*/*.tar": 3, "s3://data/a/b/[ot]*": 3,
		name: 1, "s3://data/a/b/none.tar": 0, "s3://data/a/*": 0,
	} {
		if got, err := s.Glob(ctx, pattern); err != nil || len(got) != want {
			t.Errorf("%s matches %v, %v; want %d", pattern, got, err, want)
		}
	}
	for dir, want := range map[string]bool{"s3://data/a": true, "s3://data/a/b/": true, "s3://data/a/b/one.tar": false, "s3://data/none": false} {
		if got, err := s.IsDir(ctx, dir); err != nil || got != want {
			t.Errorf("%s is a folder: %v, %v", dir, got, err)
		}
	}
	f := open(t, s, name)
	for _, off := range []int64{-1, int64(len(data)) - 5, 1 << 40} {
		if n, err := f.ReadAt(ctx, make([]byte, 10), off); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("read at %d: %d, %v", off, n, err)
		}
	}
}

func TestS3Refused(t *testing.T) {
	srv := storetest.Start(t)
	ctx := context.Background()
	name := srv.Put("x.tar", content(1, 1000))
	begun := time.Now()
	for _, c := range []struct {
		name, secret string
		want         error
		says         string
	}{
		{"s3://data/none.tar", storetest.Secret, fs.ErrNotExist, "not found"},
		{"s3://nowhere/x.tar", storetest.Secret, fs.ErrNotExist, "not found"},
		{name, "wrong", fs.ErrPermission, "AWS_SECRET_ACCESS_KEY"},
		{"s3://", storetest.Secret, errs.ErrUsage, "no bucket"},
	} {
		t.Setenv("AWS_SECRET_ACCESS_KEY", c.secret)
		_, err := quick(t, t.TempDir()).Open(ctx, c.name)
		if why := errstest.Differs(err, c.want, c.says); why != "" {
			t.Errorf("%s: %s", c.name, why)
			continue
		}
		oneLine(t, err)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	if _, err := quick(t, t.TempDir()).Open(ctx, name); !errors.Is(err, errs.ErrUnavailable) || !strings.Contains(err.Error(), "AWS_ACCESS_KEY_ID") {
		t.Errorf("without credentials: %v", err)
	}
	if took := time.Since(begun); took > 20*time.Second {
		t.Errorf("took %v: what cannot get better was tried again", took)
	}
}

// Requests that fail for a moment are made again; bodies that break off go on.
func TestS3Faults(t *testing.T) {
	srv := storetest.Start(t)
	data := content(2, 3_000_000)
	name := srv.Put("x.tar", data)
	var n atomic.Int64
	every := func(k int64, bad func(w http.ResponseWriter, r *http.Request, pass http.Handler)) func(http.ResponseWriter, *http.Request, http.Handler) {
		return func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
			if n.Add(1)%k != 0 {
				bad(w, r, pass)
				return
			}
			pass.ServeHTTP(w, r)
		}
	}
	for kind, bad := range map[string]func(w http.ResponseWriter, r *http.Request, pass http.Handler){
		"throttled": func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			w.WriteHeader(http.StatusServiceUnavailable)
			io.WriteString(w, `<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>`)
		},
		"broken off": func(http.ResponseWriter, *http.Request, http.Handler) { panic(http.ErrAbortHandler) },
		"server error": func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			w.WriteHeader(http.StatusInternalServerError)
		},
		"truncated": func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
			pass.ServeHTTP(&truncated{ResponseWriter: w, left: 200_000}, r)
		},
		"stalled": func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
			pass.ServeHTTP(&truncated{ResponseWriter: w, left: 100_000, stall: r.Context()}, r)
		},
	} {
		t.Run(kind, func(t *testing.T) {
			for _, keep := range []bool{false, true} {
				s := quick(t, t.TempDir())
				f := open(t, s, name)
				f.Keep = keep
				srv.Fault(every(2, bad))
				readAll(t, f, data)
				srv.Fault(nil)
			}
		})
	}
}

// truncated passes on so many bytes of a body and then breaks off, or stalls.
type truncated struct {
	http.ResponseWriter
	left  int
	stall context.Context
}

func (w *truncated) Write(p []byte) (int, error) {
	if len(p) > w.left {
		w.ResponseWriter.Write(p[:w.left])
		w.ResponseWriter.(http.Flusher).Flush()
		if w.stall != nil {
			<-w.stall.Done()
		}
		panic(http.ErrAbortHandler)
	}
	w.left -= len(p)
	return w.ResponseWriter.Write(p)
}

// A server that is gone is an error after the attempts, one that comes back is not.
func TestS3ServerKilled(t *testing.T) {
	srv := storetest.Start(t)
	data := content(3, 300_000)
	name := srv.Put("x.tar", data)
	s := quick(t, t.TempDir())
	f := open(t, s, name)
	patient := store.New(store.Options{CacheDir: t.TempDir(), Attempts: 12})
	defer patient.Close()
	later := open(t, patient, name)
	srv.Kill()
	begun := time.Now()
	_, err := f.ReadAt(context.Background(), make([]byte, 1000), 0)
	if !errors.Is(err, errs.ErrUnavailable) || !strings.Contains(err.Error(), "after 4 attempts") {
		t.Errorf("server gone: %v", err)
	}
	oneLine(t, err)
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("took %v to say so", took)
	}
	back := time.AfterFunc(300*time.Millisecond, srv.Restart)
	defer back.Stop()
	readAll(t, later, data)

	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	srv.Fault(func(_ http.ResponseWriter, r *http.Request, _ http.Handler) { <-r.Context().Done() })
	if _, err := f.ReadAt(ctx, make([]byte, 1000), 0); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("cancelled: %v", err)
	}
	srv.Fault(nil)
}

// An object that was replaced is refused, by ranges and whole: never a mixture.
func TestS3Replaced(t *testing.T) {
	srv := storetest.Start(t)
	name := srv.Put("x.tar", content(4, 300_000))
	for i, keep := range []bool{false, true} {
		s := quick(t, t.TempDir())
		f := open(t, s, name)
		f.Keep = keep
		srv.Put("x.tar", content(uint64(5+i), 300_000))
		_, err := f.ReadAt(context.Background(), make([]byte, 1000), 100)
		if !errors.Is(err, errs.ErrMismatch) {
			t.Errorf("replaced: %v", err)
		}
		oneLine(t, err)
	}
}

func TestLocal(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	data := content(6, 400_000)
	path := filepath.Join(dir, "x.tar")
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	s := quick(t, "")
	readAll(t, open(t, s, path), data)
	readAll(t, open(t, s, "file://"+path), data)
	if got, err := s.Glob(ctx, "file://"+dir+"/*.tar"); err != nil || !slices.Equal(got, []string{path}) {
		t.Errorf("glob %v, %v", got, err)
	}
	if _, err := s.Open(ctx, dir); !errors.Is(err, errs.ErrUnsupported) {
		t.Errorf("a folder: %v", err)
	}
	if _, err := s.Open(ctx, path+".none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nothing: %v", err)
	}
}

func TestNames(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{store.Join("s3://b/x/", "y", "z.tar"), "s3://b/x/y/z.tar"},
		{store.Join("s3://b", "z"), "s3://b/z"},
		{store.Join("s3://b", "."), "s3://b"},
		{store.Join("https://h:8080/a", "../b"), "https://h:8080/b"},
		{store.Join("/a/", "b"), "/a/b"},
		{store.Join("file:///a", "b"), "/a/b"},
		{store.Dir("s3://b/x/y"), "s3://b/x"},
		{store.Dir("s3://b/x"), "s3://b"},
		{store.Dir("s3://b"), "s3://b"},
		{store.Dir("/x/y"), "/x"},
		{store.Base("gs://b/x/y.tar"), "y.tar"},
		{store.Base("x/y"), "y"},
	} {
		if c.got != c.want {
			t.Errorf("got %s, want %s", c.got, c.want)
		}
	}
	if rel, err := store.Rel("s3://b/x", "s3://b/x/y/z"); err != nil || rel != "y/z" {
		t.Errorf("rel %s, %v", rel, err)
	}
	for name, want := range map[string]bool{"s3://b/k": true, "gs://b": true, "https://h/x": true, "file:///x": false, "/x": false, "x://y": false} {
		if store.Remote(name) != want {
			t.Errorf("%s is remote: %v", name, !want)
		}
	}
	if fmt.Sprint(store.Local("file:///x")) != "/x" {
		t.Error("file:// stays")
	}
}
