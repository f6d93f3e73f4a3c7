package store

import (
	"context"
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

func (w *web) list(context.Context, string) ([]Info, error) {
	return nil, errs.New("", "", "name each file, as in {000..099}, or the manifest that `resslt shards index --manifest` writes", errNoListing)
}

// request makes one request.
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
	for k, v := range header {
		req.Header.Set(k, v)
	}
	resp, err := w.client.Do(req)
	if err != nil {
		return nil, errs.BecauseErr(errs.ErrUnavailable, err)
	}
	switch resp.StatusCode {
	case http.StatusOK, http.StatusPartialContent, http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return resp, nil
	}
	resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusNotFound, http.StatusGone:
		return nil, errMissing
	case http.StatusUnauthorized, http.StatusForbidden:
		return nil, errs.New("", "", deniedHint(u.Host),
			fmt.Errorf("%w: the server answers %s", errDenied, resp.Status))
	case http.StatusPreconditionFailed, http.StatusRequestedRangeNotSatisfiable:
		return nil, changed("the server answers " + resp.Status)
	}
	return nil, errs.Because(errs.ErrUnavailable, "the server answers "+resp.Status)
}

func (w *web) stat(ctx context.Context, key string) (Info, error) {
	resp, err := w.request(ctx, http.MethodHead, key, nil)
	if err != nil {
		return Info{}, err
	}
	resp.Body.Close()
	size := resp.ContentLength
	if resp.StatusCode != http.StatusOK || size < 0 {
		// No HEAD, or none with a length: a range has it too.
		if resp, err = w.request(ctx, http.MethodGet, key, map[string]string{"Range": "bytes=0-0"}); err != nil {
			return Info{}, err
		}
		resp.Body.Close()
		_, total, _ := strings.Cut(resp.Header.Get("Content-Range"), "/")
		if size, err = strconv.ParseInt(total, 10, 64); err != nil || size < 0 {
			return Info{}, noRanges
		}
	}
	return Info{Size: size, MTime: modified(resp), Version: resp.Header.Get("ETag")}, nil
}

// modified is the time of Last-Modified, 0 for none.
func modified(resp *http.Response) int64 {
	t, err := time.Parse(http.TimeFormat, resp.Header.Get("Last-Modified"))
	if err != nil {
		return 0
	}
	return t.UnixNano()
}

var noRanges = errs.New("", "", "download the file, or use a server that does",
	errs.Because(errs.ErrUnsupported, "the server does not serve ranges"))

func (w *web) read(ctx context.Context, key string, want Info, off, n int64) (io.ReadCloser, error) {
	h := map[string]string{}
	if whole := off == 0 && n == want.Size; !whole {
		h["Range"] = fmt.Sprintf("bytes=%d-%d", off, off+n-1)
	}
	if want.Version != "" && !strings.HasPrefix(want.Version, "W/") { // weak ones match nothing
		h["If-Match"] = want.Version
	}
	resp, err := w.request(ctx, http.MethodGet, key, h)
	if err != nil {
		return nil, err
	}
	fail := func(err error) (io.ReadCloser, error) {
		resp.Body.Close()
		return nil, err
	}
	if _, ranged := h["Range"]; ranged && resp.StatusCode != http.StatusPartialContent {
		return fail(noRanges)
	}
	if got := resp.Header.Get("ETag"); got != want.Version {
		return fail(changed(fmt.Sprintf("its ETag is %s, was %s", got, want.Version)))
	}
	if got := modified(resp); got != want.MTime {
		return fail(changed("its time is " + resp.Header.Get("Last-Modified")))
	}
	total := resp.ContentLength
	if _, s, ok := strings.Cut(resp.Header.Get("Content-Range"), "/"); ok {
		if total, err = strconv.ParseInt(s, 10, 64); err != nil {
			total = -1
		}
	}
	if total >= 0 && total != want.Size {
		return fail(changed(fmt.Sprintf("it has %d bytes, had %d", total, want.Size)))
	}
	return resp.Body, nil
}
