//go:build nogcs

package store

import (
	"context"

	"resslt/schemas"
)

func openGCS(context.Context, string) (bucket, error) {
	return nil, schemas.E("", "", "build without the tag nogcs",
		schemas.Because(schemas.ErrUnsupported, "this build leaves Google Cloud Storage out"))
}
