package broker

import (
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"resslt/schemas/bounded"
	"resslt/schemas/durable"
	"resslt/schemas/errs"

	"github.com/nats-io/nats-server/v2/server"
)

// Limits of the embedded broker; a separate nats-server wants the same settings.
const (
	// MaxPayload is the largest message, bytes. The server's own default is
	// 1 MiB, under the size of a chunk; it warns above 8 MiB.
	MaxPayload = 8 << 20
	// maxPending is what the server holds for one slow client, bytes.
	maxPending = 256 << 20
	// maxBuffered is what a stream holds that is not yet stored, bytes.
	maxBuffered = 512 << 20
	// brokerReady is how long the embedded broker may take to start. A file
	// store that was killed is checked block by block first.
	brokerReady = 60 * time.Second
)

// TokenName is the file, 0600, of a token that the embedded broker has made.
const TokenName = "token"

// Options configure the embedded broker.
type Options struct {
	// StoreDir is the folder of the JetStream store; it is made if it is not
	// there. The same folder brings a file-stored run back.
	StoreDir string
	// Listen is the TCP address, "127.0.0.1:4222" or with port 0 for any free
	// one. Empty: the broker listens on nothing and serves this process alone.
	Listen string
	// Token must be presented by every client. Where the broker listens and none
	// is given, one is made and kept in TokenName in StoreDir; a restart takes it
	// from there. Required when Listen is not a loopback address: nothing is
	// encrypted here, so that is for a network that is one's own. A farm across
	// machines wants a nats-server and deploy/nats/farm.conf.
	Token string
	// MaxMemory and MaxStore bound the memory and file stores, bytes. Zero is
	// the server's default: 3/4 of the machine's memory, and of the free disk.
	MaxMemory, MaxStore int64
}

// Validate reports whether the options can be used. It returns ErrUsage.
func (o Options) Validate() error {
	bad := func(where, why, hint string) error {
		return errs.New("start broker", where, hint, errs.Because(errs.ErrUsage, why))
	}
	if o.StoreDir == "" {
		return bad("store", "no folder is named", "give the broker a folder for its store")
	}
	if o.MaxMemory < 0 || o.MaxStore < 0 {
		return bad("limits", "are negative", "give 0 or more bytes")
	}
	if o.Listen == "" {
		return nil
	}
	host, _, err := splitListen(o.Listen)
	if err != nil {
		return err
	}
	if ip := net.ParseIP(host); o.Token == "" && host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return bad(o.Listen, "is reachable from other machines, and no token is set", "set a token (NATS_TOKEN), or listen on 127.0.0.1")
	}
	return nil
}

// Broker is a NATS server with JetStream inside this process.
type Broker struct {
	srv   *server.Server
	token string
	tcp   bool
}

// Start starts an embedded broker and waits until it serves. Close ends it.
// It returns ErrUsage for options that cannot be, ErrUnavailable when the server
// does not come up (port taken, folder not writable, store held by another).
func Start(o Options) (*Broker, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	fail := func(where, hint string, err error) error {
		return errs.New("start broker", where, hint, errs.BecauseErr(errs.ErrUnavailable, err))
	}
	if err := os.MkdirAll(o.StoreDir, 0o755); err != nil {
		return nil, fail(o.StoreDir, "name a folder that can be written", err)
	}
	if o.Listen != "" && o.Token == "" {
		var err error
		if o.Token, err = ownToken(filepath.Join(o.StoreDir, TokenName)); err != nil {
			return nil, fail(o.StoreDir, "name a folder that can be written", err)
		}
	}
	so := &server.Options{
		ServerName: "resslt",
		JetStream:  true, StoreDir: o.StoreDir,
		JetStreamMaxMemory: o.MaxMemory, JetStreamMaxStore: o.MaxStore,
		MaxPayload: MaxPayload, MaxPending: maxPending, StreamMaxBufferedSize: maxBuffered,
		Authorization: o.Token,
		DontListen:    o.Listen == "",
		NoSigs:        true, NoLog: true,
	}
	if o.Listen != "" {
		host, port, err := splitListen(o.Listen)
		if err != nil {
			return nil, err
		}
		// A taken port would end the process from inside the server, so it is
		// tried here first, where it can be an error.
		l, err := net.Listen("tcp", o.Listen)
		if err != nil {
			return nil, fail(o.Listen, "choose another address, or port 0 for any free one", err)
		}
		if err := l.Close(); err != nil {
			return nil, fail(o.Listen, "choose another address", err)
		}
		so.Host, so.Port = host, port
		if port == 0 {
			so.Port = server.RANDOM_PORT
		}
	}
	srv, err := server.NewServer(so)
	if err != nil {
		return nil, fail(o.StoreDir, "check the broker's options", err)
	}
	// NoLog leaves the server's fatal path without a logger, where it does
	// nothing; the errors show as a server that is not ready.
	srv.Start()
	b := &Broker{srv: srv, token: o.Token, tcp: o.Listen != ""}
	if !srv.ReadyForConnections(brokerReady) || !srv.JetStreamEnabled() {
		err := errors.New("it did not become ready")
		return nil, fail(o.StoreDir, "see that no other broker uses this folder and that it can be written", errors.Join(err, b.Close()))
	}
	return b, nil
}

// URL is the address that other processes connect to, "" where it listens on
// nothing. It holds no token.
func (b *Broker) URL() string {
	if !b.tcp {
		return ""
	}
	return b.srv.ClientURL()
}

// Token is what other processes must present, "" where it listens on nothing and
// was given none.
func (b *Broker) Token() string { return b.token }

// ownToken reads the token of an earlier broker of this folder, or makes one.
func ownToken(file string) (string, error) {
	raw, err := bounded.ReadFile(file, MaxSecretBytes)
	if token := strings.TrimSpace(string(raw)); err == nil && token != "" {
		return token, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	token := rand.Text()
	return token, durable.ReplaceMode(file, 0o600, func(w io.Writer) error { _, err := io.WriteString(w, token+"\n"); return err })
}

// Close stops the broker and waits until its store is written.
func (b *Broker) Close() error {
	b.srv.Shutdown()
	b.srv.WaitForShutdown()
	return nil
}

func splitListen(addr string) (host string, port int, err error) {
	h, p, err := net.SplitHostPort(addr)
	if err == nil {
		port, err = strconv.Atoi(p)
	}
	if err != nil || port < 0 || port > 65535 || strings.TrimSpace(h) == "" {
		return "", 0, errs.New("start broker", strconv.Quote(addr), "give host:port, e.g. 127.0.0.1:4222",
			errs.Because(errs.ErrUsage, "is no address to listen on"))
	}
	return h, port, nil
}
