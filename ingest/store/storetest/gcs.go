package storetest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// gcsAPI is where Google's JSON API is.
const gcsAPI = "/storage/v1/b/"

// GCS answers the requests of Google's library that reading makes.
type GCS struct {
	Injector
	t testing.TB

	mu      sync.Mutex
	objects map[string]gcsObject // by key; guarded by mu
}

type gcsObject struct {
	data []byte
	at   time.Time
	gen  int64
}

// StartGCS starts a server, to which gs:// names go.
func StartGCS(t *testing.T) *GCS {
	s := &GCS{t: t, objects: map[string]gcsObject{}}
	s.whole = func(r *http.Request) []byte { return s.object(strings.TrimPrefix(r.URL.Path, "/"+bucketName+"/")).data }
	front := httptest.NewServer(s.wrap(http.HandlerFunc(s.serve)))
	t.Cleanup(front.Close)
	t.Setenv("STORAGE_EMULATOR_HOST", strings.TrimPrefix(front.URL, "http://"))
	t.Setenv("RESSLT_ANONYMOUS", "1")
	return s
}

func (s *GCS) object(key string) gcsObject {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.objects[key]
}

// Put stores an object and gives its name.
func (s *GCS) Put(key string, data []byte) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.objects[key] = gcsObject{data, time.Now().UTC().Truncate(time.Millisecond), s.objects[key].gen + 1}
	return fmt.Sprintf("gs://%s/%s", bucketName, key)
}

func (s *GCS) serve(w http.ResponseWriter, r *http.Request) {
	path := r.URL.EscapedPath()
	key, api := strings.CutPrefix(path, gcsAPI+bucketName+"/o")
	if api {
		s.describe(w, r, strings.TrimPrefix(key, "/"))
		return
	}
	o := s.object(strings.TrimPrefix(r.URL.Path, "/"+bucketName+"/"))
	if o.data == nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("X-Goog-Generation", fmt.Sprint(o.gen))
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(w, r, "", o.at, bytes.NewReader(o.data))
}

// describe answers with one object's attributes, or lists all with a prefix, for no key.
func (s *GCS) describe(w http.ResponseWriter, r *http.Request, key string) {
	attributes := func(key string, o gcsObject) map[string]any {
		return map[string]any{
			"kind": "storage#object", "bucket": bucketName, "name": key, "size": fmt.Sprint(len(o.data)), "generation": fmt.Sprint(o.gen),
			"updated": o.at.Format(time.RFC3339Nano), "etag": fmt.Sprintf("gen%d", o.gen),
		}
	}
	w.Header().Set("Content-Type", "application/json")
	if key != "" {
		key, _ = url.PathUnescape(key) // an odd one is not found
		o := s.object(key)
		if o.data == nil {
			http.NotFound(w, r)
			return
		}
		_ = json.NewEncoder(w).Encode(attributes(key, o)) // the client may be gone
		return
	}
	var items []map[string]any
	s.mu.Lock()
	for k, o := range s.objects {
		if strings.HasPrefix(k, r.URL.Query().Get("prefix")) {
			items = append(items, attributes(k, o))
		}
	}
	s.mu.Unlock()
	_ = json.NewEncoder(w).Encode(map[string]any{"kind": "storage#objects", "items": items}) // as above
}
