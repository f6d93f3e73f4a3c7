package chaos

import (
	"errors"
	"net"
	"sync"

	"resslt/schemas/errs"
)

// proxy is a TCP way to the broker that can be cut. A cut does not close anything:
// bytes stop coming, as when a switch or a cable fails, and neither end is told.
type proxy struct {
	to   string // address of the broker
	l    net.Listener
	done chan struct{} // closed by close
	join sync.WaitGroup

	mu    sync.Mutex
	gate  *gate                 // of new connections; guarded by mu
	conns map[net.Conn]struct{} // that are open; guarded by mu
}

// gate lets bytes of some connections pass, or holds them.
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
			in.Close() // the broker is down: so its clients see it
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

// copy passes bytes on while the gate is open, and closes both ends with either.
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

// cut stops all bytes, of present connections and of new ones.
func (p *proxy) cut() { p.current().set(false) }

// mend lets them pass again; what was on its way arrives late.
func (p *proxy) mend() { p.current().set(true) }

// forget cuts the present connections for ever and lets new ones pass, as a router
// does that was restarted.
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

// close ends the proxy and everything that passes through it.
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
