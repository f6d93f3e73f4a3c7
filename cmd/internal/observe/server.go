package observe

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"resslt/schemas/errs"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// NewRegistry is a registry with the process's and the Go runtime's metrics.
func NewRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), collectors.NewGoCollector())
	return r
}

// Server answers /metrics, /healthz and /readyz.
type Server struct {
	listener net.Listener
	http     *http.Server
}

// Listen listens on the address; Serve answers requests. ready returns why the process
// cannot work at the moment, nil if it can; log receives what the server has to say. Errors
// wrap errs.ErrUsage for an invalid address, errs.ErrUnavailable for one that cannot be
// bound.
func Listen(addr string, registry *prometheus.Registry, ready func() error, log *slog.Logger) (*Server, error) {
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return nil, errs.New("--metrics", addr, "give host:port, e.g. 127.0.0.1:9464", errs.BecauseErr(errs.ErrUsage, err))
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, errs.New("--metrics", addr, "choose another address, or port 0 for any free one", errs.BecauseErr(errs.ErrUnavailable, err))
	}
	warnings := slog.NewLogLogger(log.Handler(), slog.LevelWarn)
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 10 * time.Second, ErrorLog: warnings}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answer(w, nil) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { answer(w, ready()) })
	return &Server{listener: l, http: &http.Server{
		Handler: mux, ErrorLog: warnings, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 20 * time.Second, MaxHeaderBytes: 1 << 16,
	}}, nil
}

// answer writes "ok", or status 503 and the reason on one line.
func answer(w http.ResponseWriter, err error) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	text := "ok\n"
	if err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		text = err.Error() + "\n"
	}
	_, _ = w.Write([]byte(text)) // fails only if the client has hung up
}

// Addr is the address that the server listens on.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Serve answers requests until ctx ends, then closes all connections and returns nil.
func (s *Server) Serve(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = s.http.Close() }) // scrapes may be cut off
	defer stop()
	if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		return errs.New("serve metrics", s.Addr(), "choose another address", errs.BecauseErr(errs.ErrUnavailable, err))
	}
	return nil
}
