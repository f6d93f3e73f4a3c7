package storetest

import (
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
)

// Op is what is asked of a store.
type Op string

// The operations of a store.
const (
	Stat Op = "stat"
	List Op = "list"
	Open Op = "open" // of a Disk
	Read Op = "read"
)

// When says which calls of an operation fail: those of index First, First+Every …, Count of
// them. Every 0 is 1, Count 0 is all from then on.
type When struct {
	Op                  Op
	First, Every, Count int
}

// Once is the call of that index alone.
func Once(op Op, index int) When { return When{Op: op, First: index, Count: 1} }

// From is every call from that index on.
func From(op Op, index int) When { return When{Op: op, First: index} }

// hits reports whether the call of that index fails.
func (w When) hits(index int) bool {
	k := index - w.First
	every := max(w.Every, 1)
	return k >= 0 && k%every == 0 && (w.Count == 0 || k/every < w.Count)
}

// Injector stands in front of a server and has calls fail. Objects are distinguished by a part
// of their path, so that parallel tests share a server.
type Injector struct {
	whole func(r *http.Request) []byte // the object asked for

	mu    sync.Mutex
	armed map[string]*armed // by the part of the path; guarded by mu
}

// armed is a fault that waits for its calls.
type armed struct {
	fault *Fault
	when  When
	calls map[Op]int
	hits  int
}

// Inject has calls fail for objects whose path has that part, until the fault is replaced; nil
// ends it. Calls are counted from now on.
func (i *Injector) Inject(part string, f *Fault, when When) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.armed == nil {
		i.armed = map[string]*armed{}
	}
	if f == nil {
		delete(i.armed, part)
		return
	}
	i.armed[part] = &armed{fault: f, when: when, calls: map[Op]int{}}
}

// Hits is how many calls the fault of that part has met.
func (i *Injector) Hits(part string) int {
	i.mu.Lock()
	defer i.mu.Unlock()
	if a := i.armed[part]; a != nil {
		return a.hits
	}
	return 0
}

// due is the fault that a request meets; nil for none.
func (i *Injector) due(r *http.Request) *Fault {
	i.mu.Lock()
	defer i.mu.Unlock()
	for part, a := range i.armed {
		if !strings.Contains(r.URL.Path+"?"+r.URL.RawQuery, part) {
			continue
		}
		op := opOf(r)
		index := a.calls[op]
		a.calls[op]++
		if op == a.when.Op && a.when.hits(index) {
			a.hits++
			return a.fault
		}
	}
	return nil
}

// opOf is the operation that a request belongs to. (A stat by a range of one byte, where HEAD
// fails, is a stat.)
func opOf(r *http.Request) Op {
	q := r.URL.Query()
	api := strings.HasPrefix(r.URL.Path, gcsAPI)
	switch {
	case q.Get("list-type") != "", api && strings.HasSuffix(r.URL.Path, "/o"):
		return List
	case r.Method == http.MethodHead, api, r.Header.Get("Range") == "bytes=0-0":
		return Stat
	}
	return Read
}

// wrap puts the injector in front of a server.
func (i *Injector) wrap(pass http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f := i.due(r)
		if f == nil {
			pass.ServeHTTP(w, r)
			return
		}
		f.serve(w, r, pass, i.whole)
	})
}

// Answer is what a server would have answered; a fault alters it.
type Answer struct {
	Code   int
	Header http.Header
	Body   []byte
	// Whole is the object; Sent is how many bytes of Body are sent before the connection
	// breaks off, or stalls; -1: all of them.
	Whole   []byte
	Sent    int
	Stall   bool
	Chunked bool   // without Content-Length
	Raw     []byte // instead of an HTTP answer
}

// serve answers a request as the fault has it.
func (f *Fault) serve(w http.ResponseWriter, r *http.Request, pass http.Handler, whole func(*http.Request) []byte) {
	rec := httptest.NewRecorder()
	pass.ServeHTTP(rec, r)
	a := &Answer{Code: rec.Code, Header: rec.Header(), Body: rec.Body.Bytes(), Sent: -1}
	if whole != nil {
		a.Whole = whole(r)
	}
	f.Alter(a)
	if a.Raw != nil {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			_, _ = conn.Write(a.Raw) // the client may be gone
			_ = conn.Close()
		}
		return
	}
	maps.Copy(w.Header(), a.Header)
	if a.Chunked {
		w.Header().Del("Content-Length")
	}
	if a.Code == 0 {
		panic(http.ErrAbortHandler) // net/http recovers it, and breaks the connection off
	}
	w.WriteHeader(a.Code)
	if r.Method == http.MethodHead {
		return
	}
	body := a.Body
	if a.Sent >= 0 {
		body = body[:min(a.Sent, len(body))]
	}
	_, _ = w.Write(body) // as above
	if a.Chunked {
		w.(http.Flusher).Flush()
	}
	if a.Sent >= 0 {
		w.(http.Flusher).Flush()
		if a.Stall {
			<-r.Context().Done()
		}
		panic(http.ErrAbortHandler) // net/http recovers it, and breaks the connection off
	}
	_, _ = io.Copy(io.Discard, r.Body) // none
}
