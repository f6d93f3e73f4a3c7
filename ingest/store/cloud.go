package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"slices"
	"strings"

	"resslt/schemas/errs"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"
)

// cloud is a bucket of a cloud provider, opened by gocloud.dev/blob.
type cloud struct {
	*blob.Bucket
	hint string // for missing credentials
	// match makes a read conditional on the file's version, by the provider's own
	// types. Where it can't, read compares size and time.
	match func(as func(any) bool, want Info) error
	// etag is the version of a listed file.
	etag func(*blob.ListObject) string
}

func (c *cloud) close() error { return c.Bucket.Close() }

func (c *cloud) stat(ctx context.Context, key string) (Info, error) {
	a, err := c.Attributes(ctx, key)
	if err != nil {
		return Info{}, c.fault(err)
	}
	return Info{Size: a.Size, MTime: a.ModTime.UnixNano(), Version: a.ETag}, nil
}

func (c *cloud) read(ctx context.Context, key string, want Info, off, n int64) (io.ReadCloser, error) {
	r, err := c.NewRangeReader(ctx, key, off, n, &blob.ReaderOptions{BeforeRead: func(as func(any) bool) error { return c.match(as, want) }})
	if err != nil {
		return nil, c.fault(err)
	}
	// Listing and reading give times of different precision.
	if got := r.ModTime().Unix(); r.Size() != want.Size || want.MTime != 0 && got > 0 && got != want.MTime/1e9 {
		r.Close()
		return nil, changed(fmt.Sprintf("it has %d bytes of %s, had %d", r.Size(), r.ModTime().UTC().Format("2006-01-02 15:04:05"), want.Size))
	}
	return r, nil
}

func (c *cloud) list(ctx context.Context, prefix string) ([]Info, error) {
	var out []Info
	for it := c.List(&blob.ListOptions{Prefix: prefix}); ; {
		o, err := it.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, c.fault(err)
		}
		if !o.IsDir && !strings.HasSuffix(o.Key, "/") { // folders, as web consoles make them
			out = append(out, Info{Name: o.Key, Size: o.Size, MTime: o.ModTime.UnixNano(), Version: c.etag(o)})
		}
	}
	slices.SortFunc(out, func(a, b Info) int { return cmp.Compare(a.Name, b.Name) })
	return out, nil
}

// changed is the error of a file that is not the one that was opened.
func changed(how string) error {
	return errs.New("", "", "the data was changed after it was opened: open it again, as another data set",
		errs.Because(errs.ErrMismatch, "the file was changed: "+how))
}

// fault classifies a provider's error.
func (c *cloud) fault(err error) error {
	status := 0
	var resp interface{ HTTPStatusCode() int }
	if errors.As(err, &resp) {
		status = resp.HTTPStatusCode()
	}
	switch code := gcerrors.Code(err); {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case code == gcerrors.NotFound:
		return errMissing
	case code == gcerrors.FailedPrecondition, status == http.StatusPreconditionFailed:
		return changed("its version is another")
	case code == gcerrors.PermissionDenied, status == http.StatusForbidden, status == http.StatusUnauthorized:
		return c.denied("the store denies access" + because(status))
	case strings.Contains(err.Error(), "get credentials"), strings.Contains(err.Error(), "could not find default credentials"),
		strings.Contains(err.Error(), "no EC2 IMDS role"):
		return c.denied("there are no credentials")
	}
	return errs.BecauseErr(errs.ErrUnavailable, errors.New(tail(err)))
}

func (c *cloud) denied(why string) error {
	return errs.New("", "", c.hint, fmt.Errorf("%w: %s", errDenied, why))
}

func because(status int) string {
	if status == 0 {
		return ""
	}
	return fmt.Sprintf(" (%d %s)", status, http.StatusText(status))
}

var (
	// errMissing matches fs.ErrNotExist and ErrNotFound.
	errMissing = fmt.Errorf("%w%w", errs.ErrNotFound, quiet{fs.ErrNotExist})
	// errDenied matches fs.ErrPermission and ErrUnavailable.
	errDenied = fmt.Errorf("%w%w", errs.ErrUnavailable, quiet{fs.ErrPermission})
)

// quiet matches an error without its text.
type quiet struct{ error }

func (quiet) Error() string   { return "" }
func (q quiet) Unwrap() error { return q.error }

// tail is the end of a library's error, which says what went wrong; the beginning
// only says what was called, at length.
func tail(err error) string {
	const most = 200
	s := err.Error()
	if len(s) > most {
		s = "…" + s[len(s)-most:]
	}
	return s
}
