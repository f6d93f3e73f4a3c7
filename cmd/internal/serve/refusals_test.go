package serve

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"resslt/cmd/internal/serve/peer"
	"resslt/schemas/errs"
	"resslt/schemas/errs/errstest"
)

// Whoever does what no client of the protocol does is told so, and costs the others nothing.
func TestRefusals(t *testing.T) {
	o := options(t, func(o *Options) { o.Token, o.NameWait = "secret", 50*time.Millisecond })
	r := start(t, o)
	r.token = "secret"
	for _, c := range []struct {
		name, kind, says string
		hello            func(*peer.Hello)
	}{
		{"no token", "denied", "the client gave no token", func(h *peer.Hello) { h.Token = "" }},
		{"another token", "denied", "the token is another", func(h *peer.Hello) { h.Token = "secrets" }},
		{"another version", "mismatch", "version 1", func(h *peer.Hello) { h.Protocol = 2 }},
		{"a name with a space", "usage", "letters", func(h *peer.Hello) { h.Client = "a b" }},
		{"a name too long with its rank", "usage", "letters", func(h *peer.Hello) { h.Client, h.World, h.Rank = strings.Repeat("n", 64), 2, 1 }},
		{"no name", "usage", "letters", func(h *peer.Hello) { h.Client = "" }},
		{"a step beyond the end", "usage", "from 11", func(h *peer.Hello) { h.From = 11 }},
		{"a step below", "usage", "from -2", func(h *peer.Hello) { h.From = -2 }},
		{"no world", "usage", "world 0", func(h *peer.Hello) { h.World = 0 }},
		{"a rank outside", "usage", "rank 2", func(h *peer.Hello) { h.World, h.Rank = 2, 2 }},
		{"a world that does not divide", "usage", "3", func(h *peer.Hello) { h.World = 3 }},
		{"no credits", "usage", "credits 0", func(h *peer.Hello) { h.Credits = 0 }},
		{"credits without bound", "usage", "credits", func(h *peer.Hello) { h.Credits = 1 << 40 }},
		{"another run", "mismatch", "the client's state is of the run abc", func(h *peer.Hello) { h.Digest = "abc" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := connect(t, r, c.hello)
			if p.refused == nil || p.refused.Kind != c.kind || !strings.Contains(p.refused.Text, c.says) || p.refused.Hint == "" {
				t.Errorf("%+v, want kind %s that says %q", p.refused, c.kind, c.says)
			}
		})
	}
	first := connect(t, r, nil)
	if p := connect(t, r, nil); p.refused == nil || p.refused.Kind != "busy" {
		t.Errorf("a second client of the name: %+v", p.refused)
	}
	if p := connect(t, r, func(h *peer.Hello) { h.World, h.Rank = 2, 1 }); p.refused == nil || p.refused.Kind != "usage" || !strings.Contains(p.refused.Text, "are of 1") {
		t.Errorf("a rank of another world: %+v", p.refused)
	}
	first.drink(calm(t, o), 0, 0, 8)
}

// Bytes that are no hello get an error frame, or nothing where they end before one.
func TestGarbage(t *testing.T) {
	r := start(t, options(t, nil))
	for _, c := range []struct {
		name  string
		bytes []byte
		says  string // "": the connection is closed without a word
	}{
		{"nothing", nil, ""},
		{"half a header", header(frameHello, 10)[:5], ""},
		{"half a body", append(header(frameHello, 10), "{}"...), ""},
		{"a web browser", []byte("GET / HTTP/1.1\r\n\r\n"), "no frame"},
		{"a frame of the server's", header(frameWelcome, 0), "no frame"},
		{"a mark in the rest", []byte{2, 0, 0, 0, 'H', 0, 1, 0, '{', '}'}, "no frame"},
		{"a frame too long", header(frameHello, maxClientFrame+1), "over 65536"},
		{"an acknowledgement first", numbersFrame(frameAck, 0), "before its hello"},
		{"no JSON", append(header(frameHello, 4), "json"...), "no JSON"},
		{"JSON of another form", append(header(frameHello, 15), `{"protocol":[]}`...), "no JSON"},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn, err := net.Dial("unix", strings.TrimPrefix(r.Listen, "unix:"))
			if err != nil {
				t.Fatal(err)
			}
			p := &drinker{t: t, Peer: &peer.Peer{Conn: conn, Timeout: patience}}
			defer p.Close()
			p.send(c.bytes)
			if err := conn.(*net.UnixConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			k, body, _, err := p.Read()
			switch {
			case c.says == "" && !errors.Is(err, io.EOF):
				t.Errorf("%v %s %v", k, body, err)
			case c.says != "" && (k != byte(frameError) || !strings.Contains(string(body), c.says) || !strings.Contains(string(body), `"kind":"protocol"`)):
				t.Errorf("%v %s %v, want a protocol error that says %q", k, body, err, c.says)
			}
		})
	}
}

// A client that breaks the protocol in mid-stream is told, and only its own stream ends.
func TestBrokenProtocol(t *testing.T) {
	r := start(t, options(t, nil))
	for _, c := range []struct {
		name, says string
		frame      []byte
	}{
		{"an acknowledgement of a step to come", "an acknowledgement of step 3", numbersFrame(frameAck, 3)},
		{"an acknowledgement out of order", "an acknowledgement of step 1", numbersFrame(frameAck, 1)},
		{"a negative one", "of the number", numbersFrame(frameAck, -1)},
		{"a short one", "of 4 bytes", append(header(frameAck, 4), 1, 2, 3, 4)},
		{"a release of no slot", "a release of slot 99", numbersFrame(frameRelease, 99)},
		{"a second hello", "a second hello", header(frameHello, 0)},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := connect(t, r, func(h *peer.Hello) {
				h.Client, h.From, h.Shared, h.Credits = strings.ReplaceAll(c.name, " ", "-"), 0, true, 2
			})
			first, second := p.next(), p.next()
			if first.Message == nil || second.Message == nil {
				t.Fatal("no batches")
			}
			p.send(c.frame)
			var refused *peer.Refused
			if e, err := p.Next(); !errors.As(err, &refused) || refused.Kind != "protocol" || !strings.Contains(refused.Text, c.says) {
				t.Errorf("%+v %v, want a protocol error that says %q", e, err, c.says)
			}
			if _, _, _, err := p.Read(); !errors.Is(err, io.EOF) {
				t.Errorf("after the error: %v", err)
			}
		})
	}
}

// Addresses that a server must not or cannot listen at.
func TestDoor(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	stale := filepath.Join(dir, "stale")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	live, err := net.Listen("unix", filepath.Join(dir, "live"))
	if err != nil {
		t.Fatal(err)
	}
	defer live.Close()
	for _, c := range []struct {
		listen string
		kind   error // nil: it listens
		says   string
	}{
		{"", errs.ErrUsage, "no form"},
		{"unix:", errs.ErrUsage, "no form"},
		{"file:/tmp/x", errs.ErrUsage, "no form"},
		{"/tmp/x", errs.ErrUsage, "no form"},
		{"unix:/" + strings.Repeat("x", 107), errs.ErrUsage, "at most 107 bytes"},
		{"unix:" + file, errs.ErrUsage, "no socket"},
		{"unix:" + live.Addr().String(), errs.ErrUsage, "a server listens there"},
		{"unix:" + file + "/x", errs.ErrUnavailable, "folder"},
		{"unix:" + stale, nil, ""},
		{"unix:" + filepath.Join(dir, "new", "socket"), nil, ""},
		{"tcp:0.0.0.0:0", errs.ErrUsage, "without TLS"},
		{"tcp::0", errs.ErrUsage, "without TLS"},
		{"tcp:192.0.2.1:0", errs.ErrUsage, "without TLS"},
		{"tcp:localhost", errs.ErrUsage, "port"},
		{"tls:127.0.0.1:0", errs.ErrUsage, "certificate"},
		{"tcp:127.0.0.1:0", nil, ""},
		{"tcp:localhost:0", nil, ""},
	} {
		d, err := openDoor(t.Context(), &Options{Listen: c.listen})
		if c.kind != nil {
			errstest.Want(t, err, c.kind, c.says)
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.listen, err)
			continue
		}
		if path, unix := strings.CutPrefix(d.address, "unix:"); unix {
			if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s: %v %v", c.listen, info, err)
			}
		} else if info, err := os.Stat(d.tokenFile); err != nil || info.Mode().Perm() != 0o600 || d.token == "" {
			t.Errorf("%s: token %v %v", c.listen, info, err)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Of many servers that begin at once at one stale socket, one listens, and is the one that clients
// reach; the others say that a server listens there.
func TestStaleSocketOnce(t *testing.T) {
	for range 20 {
		path := filepath.Join(t.TempDir(), "s")
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		l.SetUnlinkOnClose(false)
		l.Close()
		doors, failed := make([]*door, 8), make([]error, 8)
		var begun sync.WaitGroup
		for i := range doors {
			begun.Go(func() { doors[i], failed[i] = openDoor(t.Context(), &Options{Listen: "unix:" + path}) })
		}
		begun.Wait()
		listening := 0
		for i, d := range doors {
			if d == nil {
				errstest.Want(t, failed[i], errs.ErrUsage, "a server listens there")
				continue
			}
			listening++
			c, err := net.Dial("unix", path)
			if err != nil {
				t.Fatalf("nobody is reached: %v", err)
			}
			c.Close()
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		}
		if listening != 1 {
			t.Fatalf("%d servers listen at one socket", listening)
		}
	}
}

// A token file is read, and one without a token refused.
func TestTokenFile(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"good": " abc\n", "empty": "\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	open := func(name string) (*door, error) {
		return openDoor(t.Context(), &Options{Listen: "unix:" + filepath.Join(dir, "s"), TokenFile: filepath.Join(dir, name)})
	}
	if d, err := open("good"); err != nil || d.token != "abc" {
		t.Errorf("%v", err)
	} else if err := d.Close(); err != nil {
		t.Error(err)
	}
	_, err := open("empty")
	errstest.Want(t, err, errs.ErrUsage, "it is empty")
	_, err = open("none")
	errstest.Want(t, err, errs.ErrNotFound, "none")
}

// FuzzFrames: whatever a client sends, reading it ends, takes no memory beyond the bound and
// gives back what was written.
func FuzzFrames(f *testing.F) {
	hi, err := jsonFrame(frameHello, hello{Protocol: Version, Client: "a", World: 1, Credits: 1})
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range [][]byte{hi, numbersFrame(frameAck, 1), header(frameBye, 0), append(numbersFrame(frameRelease, 1), hi...), header(frameHello, maxClientFrame+1)} {
		f.Add(seed)
	}
	spec := fuzzSpec()
	f.Fuzz(func(t *testing.T, raw []byte) {
		r := &frameReader{from: bytes.NewReader(raw)}
		rest := raw
		for {
			fr, err := r.next()
			if err != nil {
				break
			}
			again := append(header(fr.kind, len(fr.body)), fr.body...)
			if !bytes.HasPrefix(rest, again) {
				t.Fatalf("read % x of % x", again, rest)
			}
			rest = rest[len(again):]
			if n, err := fr.number(); err == nil && n < 0 {
				t.Fatal(n)
			}
			if h, err := parseHello(fr); err == nil && h.check(&spec, "d") == nil {
				lo, hi := h.part().Rows(spec.BatchSize)
				if lo < 0 || hi > spec.BatchSize || hi-lo != spec.BatchSize/h.World {
					t.Fatalf("%+v has rows %d to %d", h, lo, hi)
				}
			}
		}
		if cap(r.body) > maxClientFrame {
			t.Fatalf("%d bytes", cap(r.body))
		}
	})
}
