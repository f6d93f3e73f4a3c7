package store

import (
	"context"
	"strings"

	"resslt/schemas/errs"
)

// schemes are the remote stores, by the scheme of their names: a store's opener
// gets the root, "s3://bucket", and its host, "bucket". To add a store, implement
// bucket in a file of its own and add its line here.
var schemes = map[string]func(ctx context.Context, root, host string) (bucket, error){
	"s3":    openS3,
	"gs":    openGCS,
	"http":  openWeb,
	"https": openWeb,
}

// Remote reports whether the name is one of a bucket or web server.
func Remote(name string) bool {
	scheme, _, ok := strings.Cut(name, "://")
	return ok && schemes[scheme] != nil
}

// openBucket opens the store of a remote root.
func openBucket(ctx context.Context, root string) (bucket, error) {
	scheme, host, _ := strings.Cut(root, "://")
	if host == "" {
		return nil, errs.New("", "", "write "+scheme+"://bucket/key", errs.Because(errs.ErrUsage, "no bucket or host is named"))
	}
	return schemes[scheme](ctx, root, host)
}
