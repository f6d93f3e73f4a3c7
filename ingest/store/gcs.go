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
	return &cloud{
		Bucket: b, hint: gcsHint,
		match: func(func(any) bool, Info) error { return nil }, // read compares size and time
		etag: func(o *blob.ListObject) string {
			var attrs storage.ObjectAttrs
			if o.As(&attrs) {
				return attrs.Etag
			}
			return ""
		},
	}, nil
}
