package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"resslt/schemas/errs"
)

// web is a web server that serves ranges.
type web struct {
	root   string // https://host
	client *http.Client
}

func openWeb(_ context.Context, root, _ string) (bucket, error) {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DisableCompression = true // ranges are of the file, not of its compressed form
	t.MaxIdleConnsPerHost = 64
	return &web{root: root, client: &http.Client{Transport: bearing{t, tokenOf}}}, nil
}

func (w *web) close() error {
	w.client.CloseIdleConnections()
	return nil
}

func (w *web) list(context.Context, string, func()) ([]Info, error) {
	return nil, errs.New("", "", "name each file, as in {000..099}, or the manifest that `resslt shards index --manifest` writes", errNoListing)
}

// request makes one request, whatever the answer.
func (w *web) request(ctx context.Context, method, key string, header map[string]string) (*http.Response, error) {
	u, err := url.Parse(w.root)
	if err != nil {
		return nil, errs.New("", "", "write https://host/path", errs.BecauseErr(errs.ErrUsage, err))
	}
	u = u.JoinPath(strings.Split(key, "/")...)
	req, err := http.NewRequestWithContext(ctx, method, u.String(), nil)
	if err != nil {
		return nil, errs.New("", "", "write https://host/path", errs.BecauseErr(errs.ErrUsage, err))
	}
	req.Header.Set("Accept-Encoding", "identity")
	for k, v := range header {
		req.Header.Set(k, v)
	}
	resp, err := w.client.Do(req)
	if err != nil {
		return nil, unavailable(err)
	}
	return resp, nil
}

// refusal is the error of an answer that has no bytes; nil for 200 and 206.
func refusal(resp *http.Response) error {
	switch resp.StatusCode {
	case http.StatusOK, http.StatusPartialContent:
		return nil
	case http.StatusNotFound, http.StatusGone:
		return errMissing
	case http.StatusUnauthorized, http.StatusForbidden:
		return errs.New("", "", deniedHint(resp.Request.URL.Host),
			fmt.Errorf("%w: the server answers %s", errDenied, resp.Status))
	case http.StatusPreconditionFailed, http.StatusRequestedRangeNotSatisfiable:
		return changed("the server answers " + resp.Status)
	}
	return retryAfter(errs.Because(errs.ErrUnavailable, "the server answers "+resp.Status), resp.Header.Get("Retry-After"), time.Now())
}

func (w *web) stat(ctx context.Context, key string) (Info, error) {
	resp, err := w.request(ctx, http.MethodHead, key, nil)
	if err != nil {
		return Info{}, err
	}
	resp.Body.Close()
	no := refusal(resp)
	switch {
	case no == nil && resp.StatusCode == http.StatusOK && resp.ContentLength > 0:
		return infoOf(resp, key, resp.ContentLength)
	case errors.Is(no, errMissing), resp.StatusCode == http.StatusTooManyRequests,
		resp.StatusCode >= 500 && resp.StatusCode != http.StatusNotImplemented:
		return Info{}, no
	}
	// Some servers know no HEAD, sign GET alone, or give no length with it: a range has
	// it too.
	if resp, err = w.request(ctx, http.MethodGet, key, map[string]string{"Range": "bytes=0-0"}); err != nil {
		return Info{}, err
	}
	resp.Body.Close()
	from := resp.Header.Get("Content-Range")
	if size, ok := strings.CutPrefix(from, "bytes */"); ok && resp.StatusCode == http.StatusRequestedRangeNotSatisfiable {
		if n, err := strconv.ParseInt(size, 10, 64); err == nil && n == 0 {
			return infoOf(resp, key, 0)
		}
	}
	if err := refusal(resp); err != nil {
		return Info{}, err
	}
	if resp.StatusCode == http.StatusOK {
		from = "" // all of the file, whatever it says
	}
	p, err := spanOf(from, resp.ContentLength)
	if err != nil {
		return Info{}, err
	}
	if p.total < 0 {
		return Info{}, errs.New("", "", "download the file, or use a server that says how long it is",
			errs.Because(errs.ErrUnsupported, "the server does not say how long the file is"))
	}
	return infoOf(resp, key, p.total)
}

// infoOf is the file that an answer describes. A page to log in, to which a server or a
// network has redirected, is not the file.
func infoOf(resp *http.Response, key string, size int64) (Info, error) {
	if resp.Request.Response != nil && isPage(resp) {
		return Info{}, errs.New("", "", "open it in a browser: the network or the server may want a login",
			errs.Because(errs.ErrUnavailable, "the server redirects to a web page of "+resp.Request.URL.Host))
	}
	if err := encoded(resp, key); err != nil {
		return Info{}, err
	}
	return Info{Size: size, MTime: modified(resp), Version: resp.Header.Get("ETag")}, nil
}

// isPage reports whether the answer is meant for people.
func isPage(resp *http.Response) bool {
	return strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html")
}

// encoded is an error if the answer is compressed on its way: its bytes are not the file's.
// (A file that is compressed itself is often announced so, and is sent as it is.)
func encoded(resp *http.Response, key string) error {
	how := strings.ToLower(resp.Header.Get("Content-Encoding"))
	if how == "" || how == "identity" || strings.HasSuffix(how, "gzip") && (strings.HasSuffix(key, ".gz") || strings.HasSuffix(key, ".tgz")) {
		return nil
	}
	return errs.New("", "", "have the server send the file as it is (Content-Encoding: identity)",
		errs.Because(errs.ErrUnavailable, fmt.Sprintf("the server sends it in encoding %.20q", how)))
}

// modified is the time of Last-Modified, 0 for none.
func modified(resp *http.Response) int64 {
	t, err := time.Parse(http.TimeFormat, resp.Header.Get("Last-Modified"))
	if err != nil {
		return 0
	}
	return t.UnixNano()
}

func (w *web) read(ctx context.Context, key string, want Info, off, n int64) (io.ReadCloser, error) {
	h := map[string]string{}
	whole := off == 0 && n == want.Size
	if !whole {
		h["Range"] = fmt.Sprintf("bytes=%d-%d", off, off+n-1)
	}
	if strong(want.Version) {
		h["If-Match"] = want.Version
	}
	resp, err := w.request(ctx, http.MethodGet, key, h)
	if err != nil {
		return nil, err
	}
	skip, err := fits(resp, key, want, off)
	if err != nil {
		resp.Body.Close()
		return nil, err
	}
	if skip > 0 {
		return &skipper{resp.Body, skip}, nil
	}
	return resp.Body, nil
}

// fits checks that an answer holds the file's bytes from off on, and says how many it has
// before them.
func fits(resp *http.Response, key string, want Info, off int64) (skip int64, err error) {
	if err := refusal(resp); err != nil {
		return 0, err
	}
	if err := encoded(resp, key); err != nil {
		return 0, err
	}
	page := ""
	if isPage(resp) {
		page = "the server answers with a web page: "
	}
	got := resp.Header.Get("ETag")
	if strings.TrimPrefix(got, "W/") != strings.TrimPrefix(want.Version, "W/") {
		return 0, changed(fmt.Sprintf("%sits ETag is %.80s, was %.80s", page, got, want.Version))
	}
	// Servers of one file may have copies of different times; a strong ETag is enough.
	if !strong(got) && modified(resp) != want.MTime {
		return 0, changed(page + "its time is " + resp.Header.Get("Last-Modified"))
	}
	from := resp.Header.Get("Content-Range")
	switch {
	case resp.StatusCode == http.StatusOK:
		from = ""
		if off == 0 && resp.ContentLength < 0 {
			return 0, nil // body counts the bytes
		}
	case from == "":
		return 0, unfit("the server answers with a part of the file and does not say which")
	}
	p, err := spanOf(from, resp.ContentLength)
	if err != nil {
		return 0, err
	}
	return p.cut(off, want.Size)
}

// strong reports whether an ETag stands for the bytes; weak ones match nothing.
func strong(etag string) bool { return etag != "" && !strings.HasPrefix(etag, "W/") }
