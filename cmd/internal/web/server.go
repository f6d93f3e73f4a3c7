package web

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"resslt/schemas/errs"
)

// Options say what is shown, and to whom.
type Options struct {
	Addr  string   // host:port; without a host this machine alone, port 0: any that is free
	Token string   // that a visitor must have; "": none on this machine, a new one elsewhere
	Dirs  []string // folders whose runs are shown, and those below
	Own   *Own     // in their place: the run of this process
	// Recorded gives the views of a recorded step of a folder's run, -1: of the newest; nil: none are shown.
	Recorded func(ctx context.Context, folder string, step int64) (*Views, error)
	Log      *slog.Logger
}

// Own is a run that this process trains.
type Own struct {
	Folder string
	Live   Live
}

// Server shows runs.
type Server struct {
	listener net.Listener
	http     *http.Server
	guard    guard
	shelf    *shelf

	recorded func(ctx context.Context, folder string, step int64) (*Views, error)
	remaking chan struct{} // a place for who has views made again: it reads the data, and takes a core

	streams chan struct{} // a place for each client
	closing context.Context
	close   context.CancelFunc
	feeds   feeds
}

const (
	mostStreams  = 32
	writeTimeout = 10 * time.Second // of an answer, and of each event
	farewell     = time.Second      // that clients are given for the last event
)

// Listen listens on the address; Serve answers. Errors wrap errs.ErrUsage for an address that is
// none, errs.ErrUnavailable for one that cannot be had, errs.ErrNotFound for a folder that is not
// there.
func Listen(o Options) (*Server, error) {
	host, port, err := net.SplitHostPort(o.Addr)
	if err != nil {
		return nil, errs.New("--web", o.Addr, "give host:port, or :0 for any free port of this machine", errs.BecauseErr(errs.ErrUsage, err))
	}
	if host == "" {
		host = "127.0.0.1"
	}
	sh, err := newShelf(&o)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", net.JoinHostPort(host, port))
	if err != nil {
		return nil, errs.New("--web", o.Addr, "choose another address, or :0 for any free port of this machine", errs.BecauseErr(errs.ErrUnavailable, err))
	}
	at := l.Addr().(*net.TCPAddr)
	if o.Token == "" && !at.IP.IsLoopback() {
		o.Token = rand.Text()
	}
	s := &Server{listener: l, guard: newGuard(host, at, o.Token), shelf: sh, recorded: o.Recorded, remaking: make(chan struct{}, 1), streams: make(chan struct{}, mostStreams)}
	s.closing, s.close = context.WithCancel(context.Background())
	s.feeds.ctx = s.closing
	s.http = &http.Server{
		Handler: s.guard.handler(s.routes()), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: writeTimeout, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug),
	}
	return s, nil
}

// routes are the paths that there are. Those of views have the same page.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	shell := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write(shellPage) // fails only if the client has hung up
	}
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		if id := s.shelf.only(); id != "" {
			http.Redirect(w, r, "/run/"+id, http.StatusFound)
			return
		}
		shell(w, r)
	})
	mux.HandleFunc("GET /run/{id}", shell)
	mux.HandleFunc("GET /compare", shell)
	mux.HandleFunc("POST /login", s.guard.login)
	mux.Handle("GET /allowed", s.guard.private(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	mux.Handle("GET /events/{$}", s.guard.private(func(w http.ResponseWriter, r *http.Request) {
		s.stream(w, r, "", func() view { return &listView{shelf: s.shelf} })
	}))
	mux.Handle("GET /events/run/{id}", s.guard.private(func(w http.ResponseWriter, r *http.Request) {
		id := r.PathValue("id")
		s.stream(w, r, "run "+id, func() view { return newRunView(s.shelf, id, s.recorded != nil) })
	}))
	mux.Handle("GET /events/compare", s.guard.private(func(w http.ResponseWriter, r *http.Request) {
		ids := r.URL.Query()["run"]
		s.stream(w, r, fmt.Sprint("compare ", ids), func() view { return newCompareView(s.shelf, ids) })
	}))
	mux.Handle("GET /run/{id}/neighbours", s.guard.private(s.neighbours))
	mux.Handle("GET /run/{id}/views", s.guard.private(s.views))
	mux.Handle("GET /run/{id}/sheet.png", s.guard.private(s.sheet))
	return mux
}

// Addr is the address that the server listens on.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// URL is what a person opens, with the token where one is wanted.
func (s *Server) URL() string { return s.guard.url }

// Serve answers until ctx ends. Then those who look are given the newest once more, and told that
// it is the end.
func (s *Server) Serve(ctx context.Context) error {
	closed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(closed)
		s.close()
		bye, cancel := context.WithTimeout(context.Background(), farewell)
		defer cancel()
		if s.http.Shutdown(bye) != nil {
			_ = s.http.Close() // who has not taken it by now is cut off
		}
	})
	err := s.http.Serve(s.listener)
	if stop() {
		s.close()
	} else {
		<-closed
	}
	s.feeds.wait()
	if !errors.Is(err, http.ErrServerClosed) {
		return errs.New("serve the page", s.Addr(), "choose another address", errs.BecauseErr(errs.ErrUnavailable, err))
	}
	return nil
}

// hostname is this machine's name, "" where it has none.
func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	return name
}
