package chaos

import (
	"errors"
	"net"
	"sync"

	"resslt/schemas/errs"
)

// proxy is a TCP proxy to the broker that can be cut. A cut closes no connection: as with a
// failed switch or cable, bytes stop arriving and neither end is notified.
type proxy struct {
	to   string // address of the broker
	l    net.Listener
	done chan struct{} // closed by close
	join sync.WaitGroup

	mu    sync.Mutex
	gate  *gate                 // of new connections; guarded by mu
	conns map[net.Conn]struct{} // open ones; guarded by mu
}

// gate passes or holds the bytes of a group of connections.
type gate struct {
	mu   sync.Mutex
	open chan struct{} // closed while bytes may pass; guarded by mu
}

func openGate() *gate {
	g := &gate{open: make(chan struct{})}
	close(g.open)
	return g
}

func (g *gate) way() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.open
}

func (g *gate) set(open bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-g.open:
		if !open {
			g.open = make(chan struct{})
		}
	default:
		if open {
			close(g.open)
		}
	}
}

// newProxy listens on a free port of the loopback address.
func newProxy(to string) (*proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, errs.New("start proxy to", to, "free a port", errs.BecauseErr(errs.ErrUnavailable, err))
	}
	p := &proxy{to: to, l: l, done: make(chan struct{}), gate: openGate(), conns: map[net.Conn]struct{}{}}
	p.join.Go(p.accept)
	return p, nil
}

func (p *proxy) addr() string { return p.l.Addr().String() }

func (p *proxy) accept() {
	for {
		in, err := p.l.Accept()
		if err != nil {
			return // closed
		}
		out, err := net.Dial("tcp", p.to)
		if err != nil {
			in.Close() // the broker is down, and its clients shall see that
			continue
		}
		p.mu.Lock()
		g := p.gate
		p.conns[in], p.conns[out] = struct{}{}, struct{}{}
		p.mu.Unlock()
		p.join.Go(func() { p.copy(g, in, out) })
		p.join.Go(func() { p.copy(g, out, in) })
	}
}

// copy forwards bytes while the gate is open, and closes both ends when one closes.
func (p *proxy) copy(g *gate, from, to net.Conn) {
	defer func() {
		from.Close()
		to.Close()
		p.mu.Lock()
		delete(p.conns, from)
		p.mu.Unlock()
	}()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		select {
		case <-g.way():
		case <-p.done:
			return
		}
		if n > 0 {
			if _, werr := to.Write(buf[:n]); werr != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// cut holds all bytes of present and new connections.
func (p *proxy) cut() { p.current().set(false) }

// restore passes bytes again; those in flight arrive late.
func (p *proxy) restore() { p.current().set(true) }

// forget cuts the present connections for ever and passes new ones, like a router that has
// restarted.
func (p *proxy) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gate.set(false)
	p.gate = openGate()
}

func (p *proxy) current() *gate {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.gate
}

// close closes the proxy and all connections through it.
func (p *proxy) close() error {
	close(p.done)
	err := p.l.Close()
	p.mu.Lock()
	for c := range p.conns {
		c.Close()
	}
	p.mu.Unlock()
	p.join.Wait()
	if err != nil && !errors.Is(err, net.ErrClosed) {
		return errs.New("close proxy to", p.to, "", errs.BecauseErr(errs.ErrUnavailable, err))
	}
	return nil
}
