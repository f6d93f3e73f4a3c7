package broker

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"resslt/schemas/errs/errstest"

	"resslt/schemas/errs"
)

// TestBrokerToken: a broker that listens makes a token, keeps it for a restart, and
// lets nobody in without; one that does not listen cannot be reached at all.
func TestBrokerToken(t *testing.T) {
	dir := t.TempDir()
	var tokens []string
	for range 2 {
		b, err := Start(Options{StoreDir: dir, Listen: "127.0.0.1:0"})
		if err != nil {
			t.Fatal(err)
		}
		tokens = append(tokens, b.Token())
		for _, wrong := range []string{"", "guess"} {
			_, _, err = Connect(t.Context(), ConnectOptions{URL: b.URL(), Token: wrong})
			errstest.Want(t, err, errs.ErrDenied, "--token")
		}
		nc, _, err := Connect(t.Context(), ConnectOptions{URL: b.URL(), Token: b.Token()})
		if err != nil {
			t.Fatal(err)
		}
		nc.Close()
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, TokenName)
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if tokens[0] != tokens[1] || strings.TrimSpace(string(raw)) != tokens[0] || len(tokens[0]) < 20 {
		t.Fatalf("tokens %q, the file has %q", tokens, raw)
	}
	if st, err := os.Stat(file); err != nil || st.Mode().Perm() != 0o600 {
		t.Fatalf("the file's mode is %v, %v", st.Mode(), err)
	}

	silent, err := Start(Options{StoreDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	if silent.URL() != "" || silent.Token() != "" || silent.srv.Addr() != nil {
		t.Fatalf("it listens on %v %q", silent.srv.Addr(), silent.URL())
	}
	if c, err := net.Dial("tcp", "127.0.0.1:4222"); err == nil {
		c.Close() // somebody else's: the server's own default port, which must not be ours
		if silent.srv.NumClients() != 0 {
			t.Fatal("it listens on its default port")
		}
	}
}
