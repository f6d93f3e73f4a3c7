//go:build !nogcs

package store

import (
	"context"
	"net/http"

	"resslt/schemas/errs"

	"cloud.google.com/go/storage"
	"gocloud.dev/blob"
	"gocloud.dev/blob/gcsblob"
	"gocloud.dev/gcp"
)

const gcsHint = "run `gcloud auth application-default login` or set GOOGLE_APPLICATION_CREDENTIALS, or RESSLT_ANONYMOUS=1 for a public bucket"

// openGCS opens a bucket of Google Cloud Storage.
func openGCS(ctx context.Context, _, name string) (bucket, error) {
	client := gcp.NewAnonymousHTTPClient(http.DefaultTransport)
	if !anonymous() {
		creds, err := gcp.DefaultCredentials(ctx)
		if err == nil {
			client, err = gcp.NewHTTPClient(gcp.DefaultTransport(), gcp.CredentialsTokenSource(creds))
		}
		if err != nil {
			return nil, errs.New("", "", gcsHint, errs.BecauseErr(errs.ErrUnavailable, err))
		}
	}
	b, err := gcsblob.OpenBucket(ctx, client, name, nil)
	if err != nil {
		return nil, errs.New("", "", gcsHint, errs.BecauseErr(errs.ErrUnavailable, err))
	}
	var own *storage.Client
	if b.As(&own) {
		own.SetRetry(storage.WithPolicy(storage.RetryNever)) // only retry.go retries
	}
	return &cloud{
		Bucket: b, hint: gcsHint,
		match: func(func(any) bool, Info) error { return nil }, // read compares size and time
		answer: func(r *blob.Reader) (span, string, error) {
			var in *storage.Reader
			if !r.As(&in) {
				return span{}, "", unfit("the store does not say what it answers")
			}
			if in.Attrs.Decompressed || in.Attrs.ContentEncoding != "" {
				return span{}, "", errs.New("", "", "store the object without Content-Encoding: gzip",
					errs.Because(errs.ErrUnavailable, "the store sends it in another encoding than it has"))
			}
			// The library parses the range; its ETag is not that of listings.
			return span{first: in.Attrs.StartOffset, end: in.Attrs.StartOffset + max(in.Remain(), 1), total: in.Attrs.Size}, "", nil
		},
		etag: func(o *blob.ListObject) string {
			var attrs storage.ObjectAttrs
			if o.As(&attrs) {
				return attrs.Etag
			}
			return ""
		},
	}, nil
}
