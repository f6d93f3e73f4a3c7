package mlflow

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"resslt/schemas/bounded"
	"resslt/schemas/errs"
)

// client speaks with a server.
type client struct {
	base *url.URL // without user
	http *http.Client
	auth func(*http.Request)
}

// apiError is the body of an answer that refuses.
type apiError struct {
	Code    string `json:"error_code"`
	Message string `json:"message"`
}

// Codes of refusals that mean something here.
const (
	codeMissing = "RESOURCE_DOES_NOT_EXIST"
	codeExists  = "RESOURCE_ALREADY_EXISTS"
)

// maxAnswer bounds an answer, bytes.
const maxAnswer = 4 << 20

// newClient makes the client of a server, which log in as the environment says.
func newClient(base *url.URL, getenv func(string) string) *client {
	c := &client{base: base, http: &http.Client{}, auth: func(*http.Request) {}}
	user, password := getenv("MLFLOW_TRACKING_USERNAME"), getenv("MLFLOW_TRACKING_PASSWORD")
	if u := base.User; u != nil {
		user = u.Username()
		password, _ = u.Password()
	}
	bare := *base
	bare.User, bare.Path = nil, strings.TrimSuffix(base.Path, "/")
	c.base = &bare
	token := getenv("MLFLOW_TRACKING_TOKEN")
	switch {
	case user != "":
		c.auth = func(r *http.Request) { r.SetBasicAuth(user, password) }
	case token != "":
		c.auth = func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }
	}
	return c
}

// call makes a request of the REST interface: by POST with a body, else by GET. The code is that
// of a refusal.
func (c *client) call(ctx context.Context, what string, query url.Values, body, answer any) (code string, err error) {
	at := *c.base
	at.Path += "/api/2.0/mlflow/" + what
	at.RawQuery = query.Encode()
	method, content := http.MethodGet, io.Reader(http.NoBody)
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return "", errs.New("track", what, "report this as a bug", errs.BecauseErr(errs.ErrUnsupported, err))
		}
		method, content = http.MethodPost, bytes.NewReader(raw)
	}
	r, err := http.NewRequestWithContext(ctx, method, at.String(), content)
	if err != nil {
		return "", errs.New("track", at.Redacted(), "give --track mlflow:http://HOST:PORT", errs.BecauseErr(errs.ErrUsage, err))
	}
	r.Header.Set("Content-Type", "application/json")
	raw, code, err := c.do(r)
	if err != nil || answer == nil {
		return code, err
	}
	if err := bounded.JSON(raw, answer); err != nil {
		return "", errs.New("track", at.Redacted(), "see whether that is an MLflow server", errs.BecauseErr(errs.ErrUnsupported, err))
	}
	return "", nil
}

// put uploads a file as an artifact that the server keeps.
func (c *client) put(ctx context.Context, path string, size int64, content io.Reader) error {
	at := *c.base
	at.Path += "/api/2.0/mlflow-artifacts/artifacts/" + path
	r, err := http.NewRequestWithContext(ctx, http.MethodPut, at.String(), content)
	if err != nil {
		return errs.New("track", at.Redacted(), "give --track mlflow:http://HOST:PORT", errs.BecauseErr(errs.ErrUsage, err))
	}
	r.ContentLength = size
	r.Header.Set("Content-Type", "application/octet-stream")
	_, _, err = c.do(r)
	return err
}

// do makes a request. What may pass wraps ErrUnavailable.
func (c *client) do(r *http.Request) (raw []byte, code string, err error) {
	c.auth(r)
	where := r.URL.Redacted()
	answer, err := c.http.Do(r)
	if err != nil {
		return nil, "", errs.New("track", where, "see whether the MLflow server runs and can be reached", errs.BecauseErr(errs.ErrUnavailable, plain(err)))
	}
	defer answer.Body.Close()
	if raw, err = io.ReadAll(io.LimitReader(answer.Body, maxAnswer)); err != nil {
		return nil, "", errs.New("track", where, "see whether the MLflow server can be reached", errs.BecauseErr(errs.ErrUnavailable, err))
	}
	if answer.StatusCode == http.StatusOK {
		return raw, "", nil
	}
	var refusal apiError
	_ = json.Unmarshal(raw, &refusal) // a proxy's answer is no JSON
	why := answer.Status
	if refusal.Message != "" {
		why = fmt.Sprintf("%s: %.200s", refusal.Code, refusal.Message)
	}
	sentinel, hint := errs.ErrUnsupported, "see the MLflow server's log"
	switch s := answer.StatusCode; {
	case s == http.StatusUnauthorized || s == http.StatusForbidden:
		sentinel, hint = errs.ErrDenied, "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
	case s == http.StatusTooManyRequests || s == http.StatusRequestTimeout || s >= 500:
		sentinel = errs.ErrUnavailable
	case s == http.StatusNotFound && refusal.Code == "":
		hint = "see whether that is an MLflow server"
	}
	return nil, refusal.Code, errs.New("track", where, hint, errs.Because(sentinel, why))
}

// plain is a client's error without the URL, which the error's place has without secrets.
func plain(err error) error {
	if u := (*url.Error)(nil); errors.As(err, &u) {
		return u.Err
	}
	return err
}
