package serve

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"resslt/cmd/internal/scratch"
	"resslt/schemas/bounded"
	"resslt/schemas/durable"
	"resslt/schemas/errs"
)

// door is where clients come in.
type door struct {
	net.Listener
	address   string          // as a client names it
	token     string          // "": none is asked for
	tokenFile string          // "": it was given by the environment, or there is none
	folder    *scratch.Folder // of a token that was made here; nil of others
}

// maxTokenBytes bounds a file with a token.
const maxTokenBytes = 4 << 10

// maxUnixPath is what a Unix socket's address has room for.
const maxUnixPath = 107

// openDoor listens at the options' address. The caller closes it.
func openDoor(ctx context.Context, o *Options) (_ *door, err error) {
	d := &door{token: o.Token, tokenFile: o.TokenFile}
	if o.TokenFile != "" {
		raw, err := bounded.ReadFile(o.TokenFile, maxTokenBytes)
		if err != nil {
			return nil, errs.New("serve", o.TokenFile, "name a readable file", errs.BecauseErr(errs.ErrNotFound, err))
		}
		if d.token = strings.TrimSpace(string(raw)); d.token == "" {
			return nil, errs.New("serve", o.TokenFile, "write a token into it", errs.Because(errs.ErrUsage, "it is empty"))
		}
	}
	scheme, at, ok := strings.Cut(o.Listen, ":")
	if !ok || at == "" {
		return nil, badAddress(o.Listen, "it has no form that is known")
	}
	switch scheme {
	case "unix":
		err = d.listenUnix(ctx, at)
	case "tcp", "tls":
		err = d.listenTCP(ctx, o, scheme, at)
	default:
		err = badAddress(o.Listen, "it has no form that is known")
	}
	if err != nil {
		return nil, err
	}
	return d, nil
}

func badAddress(address, why string) error {
	return errs.New("listen", address, "give unix:PATH, tcp:127.0.0.1:PORT or tls:HOST:PORT", errs.Because(errs.ErrUsage, why))
}

// listenUnix listens on a socket that only this user can connect to.
func (d *door) listenUnix(ctx context.Context, path string) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return badAddress("unix:"+path, err.Error())
	}
	if len(path) > maxUnixPath {
		return errs.New("listen", "unix:"+path, "choose a shorter path, e.g. below TMPDIR",
			errs.Because(errs.ErrUsage, fmt.Sprintf("a socket's path has at most %d bytes, and this one %d", maxUnixPath, len(path))))
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return errs.New("listen", "unix:"+path, "choose a folder that can be written", errs.BecauseErr(errs.ErrUnavailable, err))
	}
	// Of two servers that begin at once at a stale socket, the slower must not remove the other's new one.
	alone, err := lockFolder(filepath.Dir(path))
	if err != nil {
		return errs.New("listen", "unix:"+path, "choose another folder", errs.BecauseErr(errs.ErrUnavailable, err))
	}
	defer alone.Close()
	if err := clearStale(ctx, path); err != nil {
		return err
	}
	old := syscall.Umask(0o177) // a chmod afterwards would come too late
	d.Listener, err = (&net.ListenConfig{}).Listen(ctx, "unix", path)
	syscall.Umask(old)
	if err != nil {
		return errs.New("listen", "unix:"+path, "choose another path", errs.BecauseErr(errs.ErrUnavailable, err))
	}
	d.address = "unix:" + path
	return nil
}

// lockWait bounds the wait for a folder: in one of everybody's, anybody may lock it for good.
const lockWait = 2 * time.Second

// lockFolder waits until no other server is about to listen in a folder, which takes each as long as to
// make a socket. Closing the file ends the lock.
func lockFolder(dir string) (*os.File, error) {
	f, err := os.OpenFile(dir, os.O_RDONLY|syscall.O_DIRECTORY, 0) //nolint:forbidigo // a folder
	if err != nil {
		return nil, err
	}
	for began := time.Now(); time.Since(began) < lockWait; time.Sleep(lockWait / 200) {
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err == nil || !errors.Is(err, syscall.EAGAIN) && !errors.Is(err, syscall.EINTR) {
			break // it is locked, or the file system knows no locks
		}
	}
	return f, nil
}

// clearStale removes the socket of a server that has ended without removing it.
func clearStale(ctx context.Context, path string) error {
	refuse := func(why string) error {
		return errs.New("listen", "unix:"+path, "choose another path", errs.Because(errs.ErrUsage, why))
	}
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return errs.New("listen", "unix:"+path, "choose another path", errs.BecauseErr(errs.ErrUnavailable, err))
	case info.Mode().Type() != fs.ModeSocket:
		return refuse("a file that is no socket is there")
	}
	c, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	switch {
	case err == nil:
		c.Close()
		return refuse("a server listens there")
	case !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, fs.ErrNotExist):
		return errs.New("listen", "unix:"+path, "choose another path", errs.BecauseErr(errs.ErrUnavailable, err))
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return errs.New("listen", "unix:"+path, "choose another path", errs.BecauseErr(errs.ErrUnavailable, err))
	}
	return nil
}

// listenTCP listens on a port, beyond this machine only under TLS, and always asks for a token.
func (d *door) listenTCP(ctx context.Context, o *Options, scheme, at string) error {
	address := scheme + ":" + at
	host, _, err := net.SplitHostPort(at)
	if err != nil {
		return badAddress(address, err.Error())
	}
	var secure *tls.Config
	switch {
	case scheme == "tcp" && !isLoopback(host):
		return errs.New("listen", address, "listen at tls:HOST:PORT with --listen-cert and --listen-key, or at tcp:127.0.0.1:PORT",
			errs.Because(errs.ErrUsage, "without TLS the token and the images could be read on the way"))
	case scheme == "tcp" && (o.CertFile != "" || o.KeyFile != ""):
		return errs.New("listen", address, "listen at tls:HOST:PORT", errs.Because(errs.ErrUsage, "a certificate is for TLS"))
	case scheme == "tls":
		if o.CertFile == "" || o.KeyFile == "" {
			return errs.New("listen", address, "give --listen-cert and --listen-key, PEM files", errs.Because(errs.ErrUsage, "TLS needs a certificate and its key"))
		}
		pair, err := tls.LoadX509KeyPair(o.CertFile, o.KeyFile)
		if err != nil {
			return errs.New("listen", o.CertFile, "give PEM files of a certificate and its key", errs.BecauseErr(errs.ErrUsage, err))
		}
		secure = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13}
	}
	if d.Listener, err = (&net.ListenConfig{}).Listen(ctx, "tcp", at); err != nil {
		return errs.New("listen", address, "choose another port; 0 takes a free one", errs.BecauseErr(errs.ErrUnavailable, err))
	}
	d.address = scheme + ":" + d.Addr().String()
	if secure != nil {
		d.Listener = tls.NewListener(d.Listener, secure)
	}
	if d.token == "" {
		if err := d.makeToken(); err != nil {
			return errors.Join(err, d.Listener.Close())
		}
	}
	return nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// makeToken makes a token, and a file that only this user can read.
func (d *door) makeToken() (err error) {
	if d.folder, err = scratch.Make("serve"); err != nil {
		return err
	}
	d.token, d.tokenFile = rand.Text(), filepath.Join(d.folder.Path, "token")
	err = durable.ReplaceMode(d.tokenFile, 0o600, func(w io.Writer) error {
		_, err := io.WriteString(w, d.token+"\n")
		return err
	})
	if err != nil {
		return errors.Join(err, d.folder.Close())
	}
	return nil
}

// Close stops listening. Connections stay.
func (d *door) Close() error {
	err := d.Listener.Close()
	if errors.Is(err, net.ErrClosed) {
		err = nil
	}
	if d.folder != nil {
		err = errors.Join(err, d.folder.Close())
	}
	return err
}
