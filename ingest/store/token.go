package store

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"resslt/schemas/bounded"
)

// TokensVariable names the environment variable with bearer tokens of web servers:
// HOST=TOKEN, several separated by commas. The Hugging Face hub's token is also found where
// its own tools keep it.
const TokensVariable = "RESSLT_HTTP_TOKENS"

// bearing sends each host's own token to it, over https alone. A server that redirects to
// another host, as to where large files lie, does not have the token sent there: not even to
// a subdomain, which http.Client would trust.
type bearing struct {
	*http.Transport
	tokens func(host string) string
}

func (b bearing) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme == "https" && req.Header.Get("Authorization") == "" {
		if token := b.tokens(strings.ToLower(req.URL.Host)); token != "" {
			req = req.Clone(req.Context()) // the caller's is what a redirect copies
			req.Header.Set("Authorization", "Bearer "+token)
		}
	}
	return b.Transport.RoundTrip(req)
}

// tokenOf is the token for a host, "" for none. Tokens are looked up for each request:
// one that expires in a long run may be replaced.
func tokenOf(host string) string {
	for pair := range strings.SplitSeq(os.Getenv(TokensVariable), ",") {
		if name, token, ok := strings.Cut(strings.TrimSpace(pair), "="); ok && strings.EqualFold(name, host) {
			return sane(token)
		}
	}
	if host == hubHost() {
		return hubToken()
	}
	return ""
}

// hubHost is the Hugging Face hub, or the mirror of it that is in use.
func hubHost() string {
	if u, err := url.Parse(os.Getenv("HF_ENDPOINT")); err == nil && u.Host != "" {
		return strings.ToLower(u.Host)
	}
	return "huggingface.co"
}

// hubToken finds the token as huggingface_hub does: in the environment, else in the file
// that `hf auth login` writes.
func hubToken() string {
	for _, v := range []string{"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"} {
		if token := sane(os.Getenv(v)); token != "" {
			return token
		}
	}
	path := os.Getenv("HF_TOKEN_PATH")
	if path == "" {
		home := os.Getenv("HF_HOME")
		if home == "" {
			cache := os.Getenv("XDG_CACHE_HOME")
			if cache == "" {
				user, err := os.UserHomeDir()
				if err != nil {
					return ""
				}
				cache = filepath.Join(user, ".cache")
			}
			home = filepath.Join(cache, "huggingface")
		}
		path = filepath.Join(home, "token")
	}
	const most = 4096 // bytes of a token's file
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() || info.Size() > most {
		return ""
	}
	raw, err := bounded.ReadFile(path, most)
	if err != nil {
		return "" // as if nobody were logged in: the server says what it lacks
	}
	return sane(string(raw))
}

// sane is a token without the spaces around it, "" for what cannot be in a header.
func sane(token string) string {
	token = strings.TrimSpace(token)
	for _, c := range []byte(token) {
		if c <= ' ' || c > '~' {
			return ""
		}
	}
	return token
}

// deniedHint says how to be let in by a host.
func deniedHint(host string) string {
	if strings.EqualFold(host, hubHost()) {
		return "accept the data set's terms on its page, then log in with `hf auth login` or set HF_TOKEN"
	}
	return "check who may read it, and that no token has expired; put user:password@ before the host to log in, or set " + TokensVariable + "=" + host + "=TOKEN"
}
