package web

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// TokenVariable holds a token of the user's own.
const TokenVariable = "RESSLT_WEB_TOKEN"

// TokenOf is that token, "" where there is none. A command line would show it to everybody.
func TokenOf() string { return os.Getenv(TokenVariable) }

// guard decides who may look.
type guard struct {
	token  string // "" for none
	local  bool   // the server listens on loopback alone
	names  []string
	cookie string
	url    string
}

func newGuard(host string, at *net.TCPAddr, token string) guard {
	g := guard{token: token, local: at.IP.IsLoopback(), names: []string{"localhost"}}
	if !g.local {
		g.names = append(g.names, strings.ToLower(hostname()), strings.ToLower(host))
	}
	port := strconv.Itoa(at.Port)
	g.cookie = "resslt-web-" + port // cookies are shared by the ports of a host
	if at.IP.IsUnspecified() {
		host = hostname()
	}
	g.url = "http://" + net.JoinHostPort(host, port) + "/"
	if token != "" {
		g.url += "#token=" + url.PathEscape(token)
	}
	return g
}

// knows reports whether a request's Host may be this server's name. A number is no name that
// somebody could have lead here.
func (g *guard) knows(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(strings.Trim(host, "[]"))
	if ip, err := netip.ParseAddr(host); err == nil {
		return !g.local || ip.IsLoopback()
	}
	for _, name := range g.names {
		if host == name && name != "" {
			return true
		}
	}
	return false
}

// handler refuses what is not meant for this server, and has browsers refuse what is not the page's.
func (g *guard) handler(next http.Handler) http.Handler {
	next = http.NewCrossOriginProtection().Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", shellPolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		if !g.knows(r.Host) {
			http.Error(w, fmt.Sprintf("this server is not %q: name it in --web, or open the address that resslt printed", r.Host), http.StatusMisdirectedRequest)
			return
		}
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout)) // one that cannot be set has none
		next.ServeHTTP(w, r)
	})
}

// private is a handler for those who may look, and for no page of another site.
func (g *guard) private(next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" && site != "none" {
			http.Error(w, "asked by a page of another site", http.StatusForbidden)
			return
		}
		if g.token != "" {
			c, err := r.Cookie(g.cookie)
			if err != nil || !same(c.Value, digest(g.token)) {
				http.Error(w, "open the address that resslt printed, with its token", http.StatusUnauthorized)
				return
			}
		}
		next(w, r)
	})
}

// maxToken bounds what a visitor may give for one.
const maxToken = 1 << 10

// login changes the token for a cookie that scripts cannot read.
func (g *guard) login(w http.ResponseWriter, r *http.Request) {
	given, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxToken))
	if err != nil || g.token != "" && !same(string(given), g.token) {
		http.Error(w, "that is not the token", http.StatusUnauthorized)
		return
	}
	http.SetCookie(w, &http.Cookie{Name: g.cookie, Value: digest(g.token), Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode})
	w.WriteHeader(http.StatusNoContent)
}

// digest is what the cookie has: whoever reads a browser's cookies has no token for it.
func digest(token string) string {
	return fmt.Sprintf("%x", sha256.Sum256([]byte("resslt web "+token)))
}

// same compares in a time that says nothing of where two texts differ.
func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
