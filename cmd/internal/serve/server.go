package serve

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"resslt/cmd/internal/supply"
	"resslt/schemas/errs"
)

const (
	// maxClients bounds the connections.
	maxClients = 1024
	// acceptPause is how long the server waits where it has no room for another connection.
	acceptPause = 100 * time.Millisecond
)

// server hands a run's batches to clients.
type server struct {
	opts    *Options
	plan    *Plan
	supply  supply.Supply
	door    *door
	say     func(line string)
	version string

	digest string // of the run
	schema []byte // message

	mu      sync.Mutex
	clients map[string]*claim  // by the trainer's name; guarded by mu
	worlds  map[string]*world  // by the client's name; guarded by mu
	open    int                // connections; guarded by mu
	shared  int64              // bytes of all rings; guarded by mu
	said    bool               // a client has said bye; guarded by mu
	idle    context.CancelFunc // ends the server where it serves once
}

// claim is a connection's hold on a trainer's name.
type claim struct{ gone chan struct{} }

// world is how many ranks a client has, while one of them is connected.
type world struct{ size, ranks int }

// prepare makes what is the same for every client.
func (s *server) prepare() (err error) {
	s.digest = s.plan.Spec.Digest()
	s.schema, err = schemaMessage(schemaOf(s.plan, s.supply.Run().Name, s.version))
	return err
}

// serve accepts clients until ctx ends, and then waits for them.
func (s *server) serve(ctx context.Context) error {
	ctx, s.idle = context.WithCancel(ctx)
	defer s.idle()
	g, gctx := errgroup.WithContext(ctx)
	if e, ok := s.supply.(*supply.Embedded); ok {
		g.Go(func() error {
			select {
			case <-e.Failed():
				return e.Cause()
			case <-gctx.Done():
				return nil
			}
		})
	}
	defer context.AfterFunc(gctx, func() { _ = s.door.Listener.Close() })() // Accept returns
	g.Go(func() error {
		var conns sync.WaitGroup
		defer conns.Wait()
		for {
			conn, err := s.door.Accept()
			switch {
			case gctx.Err() != nil:
				if err == nil {
					conn.Close()
				}
				return nil
			case err != nil && errors.Is(err, net.ErrClosed):
				return errs.New("serve", s.door.address, "start it again", errs.BecauseErr(errs.ErrUnavailable, err))
			case err != nil: // no more descriptors, say
				s.say("warning: " + err.Error())
				time.Sleep(acceptPause)
				continue
			}
			conns.Go(func() { s.handle(gctx, conn) })
		}
	})
	return g.Wait()
}

// enter counts a connection; false where there are too many.
func (s *server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open >= maxClients {
		return false
	}
	s.open++
	return true
}

// leave is the end of a connection. A server that serves once ends with the last of them.
func (s *server) leave(bye bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open--
	s.said = s.said || bye
	if s.opts.Once && s.said && s.open == 0 {
		s.idle()
	}
}

// take claims a trainer's name for a client's rank, and waits for a connection of that name that
// is ending. It returns an error of kind busy where one lives on, ErrUsage where the client's
// other ranks are of another number. The function gives the name back.
func (s *server) take(ctx context.Context, h *hello) (func(), error) {
	name, deadline := h.trainer(), time.After(s.opts.NameWait)
	for {
		s.mu.Lock()
		w := s.worlds[h.Client]
		if w != nil && w.size != h.World {
			s.mu.Unlock()
			return nil, errs.New("serve", fmt.Sprintf("client %s, rank %d of %d", h.Client, h.Rank, h.World), "start all ranks with one number of them, or give this one another client name",
				errs.Because(errs.ErrUsage, fmt.Sprintf("its connected ranks are of %d", w.size)))
		}
		held := s.clients[name]
		if held == nil {
			mine := &claim{make(chan struct{})}
			s.clients[name] = mine
			if w == nil {
				w = &world{size: h.World}
				s.worlds[h.Client] = w
			}
			w.ranks++
			s.mu.Unlock()
			return func() { s.give(name, h.Client, mine) }, nil
		}
		s.mu.Unlock()
		select {
		case <-held.gone:
		case <-deadline:
			return nil, &refusal{"busy", errs.New("serve", "client "+name, "give each training process a client name of its own, or end the other", errs.Because(errs.ErrUsage, "a client of this name is connected"))}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (s *server) give(name, client string, mine *claim) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.clients, name)
	if w := s.worlds[client]; w != nil {
		if w.ranks--; w.ranks == 0 {
			delete(s.worlds, client)
		}
	}
	close(mine.gone)
}

// reserve takes room for a ring of slots of a size, as many as there is room for up to most;
// none where there is not room for a batch and the spare.
func (s *server) reserve(each int64, most int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := int(min(int64(most), (s.opts.MaxShared-s.shared)/each))
	if n < 2 {
		return 0
	}
	s.shared += each * int64(n)
	return n
}

func (s *server) unreserve(bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shared -= bytes
}
