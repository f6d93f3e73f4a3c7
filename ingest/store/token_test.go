package store

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"resslt/schemas/errs/errstest"
)

var modifiedAt = time.Unix(1e9, 0)

// forget has the test's environment name no token.
func forget(t *testing.T) {
	t.Helper()
	for _, v := range []string{TokensVariable, "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "HF_HOME", "HF_ENDPOINT"} {
		t.Setenv(v, "")
	}
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
}

// TestTokensFound: where Hugging Face's own tools look for the hub's token, in their order, and for
// other hosts in a variable of ours.
func TestTokensFound(t *testing.T) {
	forget(t)
	keep := func(dir string, text string) string {
		path := filepath.Join(dir, "token")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	want := func(host, token string) {
		t.Helper()
		if got := tokenOf(host); got != token {
			t.Errorf("%s: %q, want %q", host, got, token)
		}
	}
	want("huggingface.co", "")
	keep(filepath.Join(os.Getenv("XDG_CACHE_HOME"), "huggingface"), "hf_cache\n")
	want("huggingface.co", "hf_cache")
	home := t.TempDir()
	t.Setenv("HF_HOME", home)
	want("huggingface.co", "")
	keep(home, "hf_home")
	want("huggingface.co", "hf_home")
	t.Setenv("HF_TOKEN_PATH", keep(t.TempDir(), "hf_path"))
	want("huggingface.co", "hf_path")
	t.Setenv("HUGGING_FACE_HUB_TOKEN", "hf_old")
	want("huggingface.co", "hf_old")
	t.Setenv("HF_TOKEN", " hf_new ")
	want("huggingface.co", "hf_new")
	want("cdn-lfs.huggingface.co", "")
	want("huggingface.co.example.org", "")
	t.Setenv(TokensVariable, "data.example.org=abc, other.example.org:8443=d=e,bad.example.org=a\nb")
	want("data.example.org", "abc")
	want("other.example.org:8443", "d=e")
	want("other.example.org", "")
	want("bad.example.org", "")
	t.Setenv("HF_ENDPOINT", "https://mirror.example.org/")
	want("mirror.example.org", "hf_new")
	want("huggingface.co", "")
}

// TestTokenStaysWithItsHost: the host gets its token with every request, and the one that it
// redirects to gets none, whether it is a stranger or the same machine under another port; nor
// does anybody over plain http.
func TestTokenStaysWithItsHost(t *testing.T) {
	forget(t)
	seen := map[string][]string{}
	note := func(who string, r *http.Request) { seen[who] = append(seen[who], r.Header.Get("Authorization")) }
	serve := func(who string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			note(who, r)
			http.ServeContent(w, r, "a.tar", modifiedAt, strings.NewReader("data"))
		}
	}
	plain := httptest.NewServer(serve("plain"))
	defer plain.Close()
	elsewhere := httptest.NewTLSServer(serve("elsewhere"))
	defer elsewhere.Close()
	host := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		note("host", r)
		switch {
		case r.Header.Get("Authorization") != "Bearer secret":
			w.WriteHeader(http.StatusUnauthorized)
		case r.URL.Path == "/away/a.tar":
			http.Redirect(w, r, elsewhere.URL+"/a.tar", http.StatusFound)
		case r.URL.Path == "/home/a.tar":
			http.Redirect(w, r, "/a.tar", http.StatusFound)
		default:
			http.ServeContent(w, r, "a.tar", modifiedAt, strings.NewReader("data"))
		}
	}))
	defer host.Close()
	at, err := url.Parse(host.URL)
	if err != nil {
		t.Fatal(err)
	}
	open := func(root string) *web {
		w := &web{root: root, client: &http.Client{Transport: bearing{host.Client().Transport.(*http.Transport).Clone(), tokenOf}}}
		t.Cleanup(func() { w.close() })
		return w
	}
	w := open(host.URL)
	_, err = w.stat(t.Context(), "a.tar")
	errstest.Want(t, err, errDenied, "401", TokensVariable+"="+at.Host+"=TOKEN")
	before := len(seen["host"]) // asked without a token
	t.Setenv(TokensVariable, at.Host+"=secret")
	for _, key := range []string{"a.tar", "home/a.tar", "away/a.tar"} {
		if info, err := w.stat(t.Context(), key); err != nil || info.Size != 4 {
			t.Errorf("%s: %+v, %v", key, info, err)
		}
	}
	t.Setenv(TokensVariable, at.Host+"=secret,"+strings.TrimPrefix(plain.URL, "http://")+"=secret")
	if _, err := open(plain.URL).stat(t.Context(), "a.tar"); err != nil {
		t.Error(err)
	}
	for who, tokens := range seen {
		for i, token := range tokens {
			if (token == "Bearer secret") != (who == "host" && i >= before) {
				t.Errorf("%s got %q", who, token)
			}
		}
	}
	if len(seen["elsewhere"]) == 0 || len(seen["plain"]) == 0 || len(seen["host"]) < 5 {
		t.Errorf("not all were asked: %v", seen)
	}
}
