package web

import (
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
)

// Who may look: this machine's browsers at this server's name, or who has the token.
func TestWhoMayLook(t *testing.T) {
	r := begin(t, filepath.Join(t.TempDir(), "a")).steps(5).scored(1)
	s, _ := serve(t, Options{Dirs: []string{filepath.Dir(r.dir)}})
	allowed := "http://" + s.Addr() + "/allowed"
	for host, want := range map[string]int{
		"localhost": 204, "localhost:9": 204, "127.0.0.1": 204, "127.8.8.8:1": 204, "[::1]:80": 204, "LOCALHOST": 204,
		"evil.example": 421, "evil.example:80": 421, "localhost.evil.example": 421, "127.0.0.1.evil.example": 421, "10.0.0.1": 421, "": 421,
	} {
		status, _, _ := get(t, allowed, func(r *http.Request) {
			r.Host = host
			if host == "" {
				r.Host = "a..b"
			}
		})
		if status != want {
			t.Errorf("Host %q: %d, want %d", host, status, want)
		}
	}
	for site, want := range map[string]int{"cross-site": 403, "same-site": 403, "same-origin": 204, "none": 204} {
		if status, _, _ := get(t, allowed, func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", site) }); status != want {
			t.Errorf("asked from %s: %d, want %d", site, status, want)
		}
	}
	if strings.Contains(s.URL(), "token") {
		t.Errorf("a token on this machine alone: %s", s.URL())
	}
}

// Any other address has a token, which is in the URL's fragment alone.
func TestToken(t *testing.T) {
	r := begin(t, filepath.Join(t.TempDir(), "a")).steps(5).scored(1)
	s, _ := serve(t, Options{Addr: "0.0.0.0:0", Dirs: []string{filepath.Dir(r.dir)}})
	at, err := url.Parse(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	token, ok := strings.CutPrefix(at.Fragment, "token=")
	if !ok || len(token) < 20 || at.RawQuery != "" {
		t.Fatalf("the URL is %s", s.URL())
	}
	base := "http://127.0.0.1:" + at.Port()
	paths := []string{"/allowed", "/events/", "/events/run/" + idOf(r.dir), "/events/compare", "/run/" + idOf(r.dir) + "/neighbours?step=10", "/run/" + idOf(r.dir) + "/sheet.png"}
	for _, path := range paths {
		for _, cookie := range []string{"", "x", token} { // the token itself is not the cookie
			status, body, _ := get(t, base+path, func(r *http.Request) {
				if cookie != "" {
					r.AddCookie(&http.Cookie{Name: s.guard.cookie, Value: cookie})
				}
			})
			if status != http.StatusUnauthorized || strings.Contains(body, token) {
				t.Errorf("%s with cookie %q: %d", path, cookie, status)
			}
		}
	}
	type reply struct {
		code    int
		cookies []*http.Cookie
	}
	login := func(given string, headers map[string]string) reply {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/login", strings.NewReader(given))
		if err != nil {
			t.Fatal(err)
		}
		for k, v := range headers {
			r.Header.Set(k, v)
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		return reply{answer.StatusCode, answer.Cookies()}
	}
	for _, wrong := range []string{"", "x", token + "x", strings.Repeat("x", 1<<20)} {
		if a := login(wrong, nil); a.code != http.StatusUnauthorized || len(a.cookies) > 0 {
			t.Errorf("token %.9q: %d", wrong, a.code)
		}
	}
	if a := login(token, map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "http://evil.example"}); a.code != http.StatusForbidden {
		t.Errorf("a login from another site: %d", a.code)
	}
	a := login(token, nil)
	if len(a.cookies) != 1 || !a.cookies[0].HttpOnly || a.cookies[0].SameSite != http.SameSiteStrictMode || a.cookies[0].Value == token {
		t.Fatalf("%d, cookies %v", a.code, a.cookies)
	}
	if status, _, _ := get(t, base+"/allowed", func(r *http.Request) { r.AddCookie(a.cookies[0]) }); status != http.StatusNoContent {
		t.Errorf("with the cookie: %d", status)
	}
	own, _ := serve(t, Options{Dirs: []string{filepath.Dir(r.dir)}, Token: "mine"})
	if status, _, _ := get(t, "http://"+own.Addr()+"/allowed", nil); status != http.StatusUnauthorized || !strings.HasSuffix(own.URL(), "#token=mine") {
		t.Errorf("a token of one's own: %d at %s", status, own.URL())
	}
}

// A request names no path of the file system, and every answer says what a browser may do with it.
func TestNothingElseIsServed(t *testing.T) {
	r := begin(t, filepath.Join(t.TempDir(), "a")).steps(5)
	s, _ := serve(t, Options{Dirs: []string{filepath.Dir(r.dir)}})
	for _, path := range []string{
		"/etc/passwd", "/../etc/passwd", "/run/..%2f..%2fetc/neighbours?step=1", "/run/" + url.PathEscape(r.dir) + "/neighbours?step=10",
		"/run/" + idOf(r.dir) + "/neighbours?step=../../x", "/run/" + idOf(r.dir) + "/neighbours?step=1", "/run/" + idOf(r.dir) + "/sheet.png",
		"/run/" + idOf(r.dir) + "/metrics.jsonl", "/debug/pprof/", "/favicon.ico",
	} {
		if status, body, _ := get(t, "http://"+s.Addr()+path, nil); status != http.StatusNotFound && status != http.StatusMovedPermanently && status != http.StatusTemporaryRedirect {
			t.Errorf("%s: %d %.100s", path, status, body)
		}
	}
	status, body, h := get(t, "http://"+s.Addr()+"/", nil)
	policy := h.Get("Content-Security-Policy")
	if status != http.StatusOK || !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Cache-Control") != "no-store" {
		t.Errorf("%d %v", status, h)
	}
	if strings.Contains(body, "http://") || strings.Contains(body, "https://") {
		t.Error("the page asks for something elsewhere")
	}
	if strings.Contains(body, filepath.Base(r.dir)+"/") || strings.Contains(body, idOf(r.dir)) {
		t.Error("the page, which anybody is given, names a run")
	}
}
