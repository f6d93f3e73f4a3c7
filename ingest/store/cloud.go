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
	"time"

	"resslt/schemas/errs"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
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
	// answer is which bytes of which version a reader gives; version "" where that is not
	// known.
	answer func(*blob.Reader) (p span, version string, err error)
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
	skip, err := c.fits(r, want, off)
	if err != nil {
		r.Close()
		return nil, err
	}
	if skip > 0 {
		return &skipper{r, skip}, nil
	}
	return r, nil
}

// fits checks that a reader gives the file's bytes from off on, and says how many it gives
// before them.
func (c *cloud) fits(r *blob.Reader, want Info, off int64) (skip int64, err error) {
	p, version, err := c.answer(r)
	if err != nil {
		return 0, err
	}
	if version != "" && want.Version != "" && version != want.Version {
		return 0, changed(fmt.Sprintf("its version is %.80s, was %.80s", version, want.Version))
	}
	// Listing and reading give times of different precision.
	if got := r.ModTime().Unix(); (version == "" || want.Version == "") && want.MTime != 0 && got > 0 && got != want.MTime/1e9 {
		return 0, changed("its time is " + r.ModTime().UTC().Format("2006-01-02 15:04:05"))
	}
	return p.cut(off, want.Size)
}

func (c *cloud) list(ctx context.Context, prefix string, touch func()) ([]Info, error) {
	var out []Info
	for it := c.List(&blob.ListOptions{Prefix: prefix}); ; {
		o, err := it.Next(ctx)
		if err == io.EOF { //nolint:errorlint // itself: a connection that is reset is an error around it
			break
		}
		if err != nil {
			return nil, c.fault(err)
		}
		touch()
		if !o.IsDir && !strings.HasSuffix(o.Key, "/") { // folders, as web consoles make them
			out = append(out, Info{Name: o.Key, Size: o.Size, MTime: o.ModTime.UnixNano(), Version: c.etag(o)})
		}
	}
	slices.SortFunc(out, func(a, b Info) int { return cmp.Compare(a.Name, b.Name) })
	return out, nil
}

// changed is the error of a file that is not the one that was opened.
func changed(how string) error {
	return errs.New("", "", "restore the data, which was changed after it was opened",
		errs.Because(errs.ErrMismatch, "the file was changed: "+how))
}

// fault classifies a provider's error.
func (c *cloud) fault(err error) error {
	status, code := 0, ""
	var resp interface{ HTTPStatusCode() int }
	if errors.As(err, &resp) {
		status = resp.HTTPStatusCode()
	}
	var api interface{ ErrorCode() string }
	if errors.As(err, &api) {
		code = api.ErrorCode()
	}
	switch kind := gcerrors.Code(err); {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case slices.Contains(expired, code):
		return c.denied("the credentials have expired (" + code + "): renew them")
	case kind == gcerrors.NotFound:
		return errMissing
	case kind == gcerrors.FailedPrecondition, status == http.StatusPreconditionFailed:
		return changed("its version is another")
	case status == http.StatusRequestedRangeNotSatisfiable:
		return changed("it is shorter than it was")
	case kind == gcerrors.PermissionDenied, status == http.StatusForbidden, status == http.StatusUnauthorized:
		return c.denied("the store denies access" + because(status))
	case strings.Contains(err.Error(), "get credentials"), strings.Contains(err.Error(), "could not find default credentials"),
		strings.Contains(err.Error(), "no EC2 IMDS role"):
		return c.denied("there are no credentials")
	}
	return retryAfter(errs.BecauseErr(errs.ErrUnavailable, errors.New(tail(err))), waitAsked(err), time.Now())
}

// expired are the codes of S3 and STS for credentials that were valid once. S3 answers them
// with status 400.
var expired = []string{"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired"}

// waitAsked is the Retry-After header of a provider's error.
func waitAsked(err error) string {
	var aws *awshttp.ResponseError
	if errors.As(err, &aws) && aws.Response != nil {
		return aws.Response.Header.Get("Retry-After")
	}
	return ""
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
