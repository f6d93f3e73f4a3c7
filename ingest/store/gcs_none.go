//go:build nogcs

package store

import (
	"context"

	"resslt/schemas/errs"
)

func openGCS(context.Context, string, string) (bucket, error) {
	return nil, errs.New("", "", "build without the tag nogcs",
		errs.Because(errs.ErrUnsupported, "this build has no Google Cloud Storage"))
}
