package broker_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"resslt/batcher/broker"
	"resslt/schemas/errs"
	"resslt/schemas/errs/errstest"

	"github.com/nats-io/nats-server/v2/server"
)

// authority signs certificates of a test.
type authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{dir: t.TempDir()}
	a.issue(t, "ca", &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name) }

// issue writes NAME.pem and NAME.key; the first certificate is the authority's own.
func (a *authority) issue(t *testing.T, name string, c *x509.Certificate) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c.SerialNumber, c.Subject = big.NewInt(time.Now().UnixNano()), pkix.Name{CommonName: name}
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	if a.key == nil {
		a.cert, a.key = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	if c.IsCA {
		if a.cert, err = x509.ParseCertificate(der); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for ext, b := range map[string]*pem.Block{".pem": {Type: "CERTIFICATE", Bytes: der}, ".key": {Type: "PRIVATE KEY", Bytes: raw}} {
		if err := os.WriteFile(a.file(name+ext), pem.EncodeToMemory(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func (a *authority) server(t *testing.T) tls.Certificate {
	t.Helper()
	return a.issue(t, "server", &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
}

func (a *authority) client(t *testing.T) {
	t.Helper()
	a.issue(t, "client", &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
}

// peer listens and treats each connection as do says; tries counts them.
func peer(t *testing.T, do func(net.Conn)) (addr string, tries *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tries = &atomic.Int64{}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			tries.Add(1)
			t.Cleanup(func() { c.Close() })
			go do(c)
		}
	}()
	t.Cleanup(func() { l.Close() })
	return l.Addr().String(), tries
}

// infoTLS is what a broker greets with that wants TLS.
const infoTLS = `INFO {"server_id":"A","version":"2.15.2","proto":1,"headers":true,"max_payload":8388608,"tls_required":true}` + "\r\n"

// greet greets and reads the beginning of the handshake.
func greet(c net.Conn) {
	_, _ = io.WriteString(c, infoTLS)
	_, _ = c.Read(make([]byte, 1))
}

// handshake is a broker that ends the connection right after the handshake.
func handshake(conf *tls.Config) func(net.Conn) {
	return func(c net.Conn) {
		_, _ = io.WriteString(c, infoTLS)
		s := tls.Server(c, conf)
		if s.Handshake() == nil {
			_, _ = bufio.NewReader(s).ReadString('\n')
		}
		c.Close()
	}
}

// Only a certificate or credentials that are refused are a denial; what may pass is tried
// again, and then called what it is.
func TestFirstConnection(t *testing.T) {
	ours, foreign := newAuthority(t), newAuthority(t)
	cert, theirs := ours.server(t), foreign.server(t)
	ca := ours.file("ca.pem")
	never := func(net.Conn) {}
	for _, tc := range []struct {
		name string
		ca   string // whom we trust
		do   func(net.Conn)
		kind error
		says string
		once bool // it is final
	}{
		{"never answers", "", never, errs.ErrUnavailable, "does not answer in time", false},
		{"closes", "", func(c net.Conn) { c.Close() }, errs.ErrUnavailable, "closes connections", false},
		{"resets", "", func(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0); c.Close() }, errs.ErrUnavailable, "closes connections", false},
		{"closes in the greeting", "", func(c net.Conn) { _, _ = io.WriteString(c, infoTLS[:20]); c.Close() }, errs.ErrUnavailable, "closes connections", false},
		{"never answers the handshake", "", greet, errs.ErrUnavailable, "does not answer in time", false},
		{"closes in the handshake", "", func(c net.Conn) { greet(c); c.Close() }, errs.ErrUnavailable, "closes connections", false},
		{"its time for a handshake is over", "", func(c net.Conn) {
			greet(c)
			_, _ = io.WriteString(c, "-ERR 'Secure Connection - TLS Required'\r\n")
		}, errs.ErrUnavailable, "does not answer in time", false},
		{"its time to authenticate is over", "", func(c net.Conn) {
			_, _ = io.WriteString(c, strings.Replace(infoTLS, `"tls_required":true`, `"auth_required":true`, 1)+"-ERR 'Authentication Timeout'\r\n")
		}, errs.ErrUnavailable, "does not answer in time", false},
		{"closes after the handshake", ca, handshake(&tls.Config{Certificates: []tls.Certificate{cert}}), errs.ErrUnavailable, "closes connections", false},
		{"asks for a certificate, closes after the handshake", ca, handshake(&tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequestClientCert}), errs.ErrDenied, "--tls-cert", false},
		{"demands a certificate", ca, handshake(&tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAnyClientCert, MaxVersion: tls.VersionTLS12}), errs.ErrDenied, "--tls-cert", true},
		{"has a foreign certificate", ca, handshake(&tls.Config{Certificates: []tls.Certificate{theirs}}), errs.ErrUnavailable, "--tls-ca", true},
		{"has no TLS that we have", ca, handshake(&tls.Config{Certificates: []tls.Certificate{cert}, MaxVersion: tls.VersionTLS11}), errs.ErrUnavailable, "TLS", true},
		{"denies", "", func(c net.Conn) {
			_, _ = io.WriteString(c, strings.Replace(infoTLS, `"tls_required":true`, `"auth_required":true`, 1)+"-ERR 'Authorization Violation'\r\n")
		}, errs.ErrDenied, "--creds", true},
		{"is full", "", func(c net.Conn) {
			_, _ = io.WriteString(c, strings.Replace(infoTLS, `"tls_required":true`, `"auth_required":true`, 1)+"-ERR 'maximum connections exceeded'\r\n")
		}, errs.ErrUnavailable, "max_connections", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			addr, tries := peer(t, tc.do)
			var reports atomic.Int64
			_, _, err := broker.Connect(t.Context(), broker.ConnectOptions{
				URL: "nats://" + addr, CA: tc.ca, Timeout: 300 * time.Millisecond, Patience: 1500 * time.Millisecond,
				Report: func(string) { reports.Add(1) },
			})
			errstest.Want(t, err, tc.kind, addr, tc.says)
			if tc.kind != errs.ErrDenied && errors.Is(err, errs.ErrDenied) {
				t.Errorf("it is called a denial: %v", err)
			}
			if n := tries.Load(); (n == 1) != tc.once || reports.Load() != min(1, n-1) {
				t.Errorf("%d tries, %d reports", n, reports.Load())
			}
		})
	}
}

// A broker that is slower than the first try's time lets us in all the same.
func TestSlowBroker(t *testing.T) {
	b, err := broker.Start(broker.Options{StoreDir: t.TempDir(), Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	addr, tries := peer(t, func(c net.Conn) {
		to, err := net.Dial("tcp", strings.TrimPrefix(b.URL(), "nats://"))
		if err != nil {
			c.Close()
			return
		}
		t.Cleanup(func() { to.Close() })
		time.Sleep(300 * time.Millisecond)
		go func() { _, _ = io.Copy(to, c) }()
		_, _ = io.Copy(c, to)
	})
	nc, _, err := broker.Connect(t.Context(), broker.ConnectOptions{URL: "nats://" + addr, Token: b.Token(), Timeout: 250 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	nc.Close()
	if n := tries.Load(); n != 2 {
		t.Errorf("%d tries", n)
	}
}

// The end of the context ends a first connection, whatever it waits for, and does nothing
// to one that is established.
func TestFirstConnectionEnds(t *testing.T) {
	addr, tries := peer(t, func(net.Conn) {})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for tries.Load() == 0 {
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	_, _, err := broker.Connect(ctx, broker.ConnectOptions{URL: "nats://" + addr, Timeout: time.Hour, Patience: time.Hour})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("it ends with %v", err)
	}

	b, err := broker.Start(broker.Options{StoreDir: t.TempDir(), Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	ctx, cancel = context.WithCancel(t.Context())
	nc, js, err := broker.Connect(ctx, broker.ConnectOptions{URL: b.URL(), Token: b.Token()})
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	cancel()
	if err := nc.ForceReconnect(); err != nil {
		t.Fatal(err)
	}
	for range 500 {
		if _, err = js.AccountInfo(t.Context()); err == nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("it does not connect again: %v", err)
}

// A nats-server that demands a certificate lets in who has one of its authority.
func TestMutualTLS(t *testing.T) {
	ours, foreign := newAuthority(t), newAuthority(t)
	ours.server(t)
	ours.client(t)
	foreign.client(t)
	o := &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true, TLS: true, TLSVerify: true, TLSTimeout: 5}
	var err error
	if o.TLSConfig, err = server.GenTLSConfig(&server.TLSConfigOpts{CertFile: ours.file("server.pem"), KeyFile: ours.file("server.key"), CaFile: ours.file("ca.pem"), Verify: true}); err != nil {
		t.Fatal(err)
	}
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the broker does not come up")
	}
	for name, from := range map[string]*authority{"none": nil, "a foreign one": foreign, "ours": ours} {
		t.Run(name, func(t *testing.T) {
			o := broker.ConnectOptions{URL: "nats://" + s.Addr().String(), CA: ours.file("ca.pem")}
			if from != nil {
				o.Cert, o.Key = from.file("client.pem"), from.file("client.key")
			}
			nc, _, err := broker.Connect(t.Context(), o)
			if from == ours && err == nil {
				nc.Close()
				return
			}
			errstest.Want(t, err, errs.ErrDenied, "--tls-cert")
		})
	}
}
