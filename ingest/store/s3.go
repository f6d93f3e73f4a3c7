package store

import (
	"context"
	"os"

	"resslt/schemas/errs"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go/logging"
	"gocloud.dev/blob"
	"gocloud.dev/blob/s3blob"
)

const s3Hint = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or AWS_PROFILE of a user who may read it, or RESSLT_ANONYMOUS=1 for a public bucket"

// openS3 opens a bucket of S3, or of the server that AWS_ENDPOINT_URL names.
// Requests to servers other than Amazon's have the bucket in the path, since few of
// them have a host name for each bucket.
func openS3(ctx context.Context, _, name string) (bucket, error) {
	load := []func(*config.LoadOptions) error{
		config.WithDefaultRegion("us-east-1"),

		config.WithLogger(logging.Nop{}), // it would warn of connections that break off
		config.WithRetryer(func() aws.Retryer { return aws.NopRetryer{} }),
	}
	if anonymous() {
		load = append(load, config.WithCredentialsProvider(aws.AnonymousCredentials{}))
	}
	cfg, err := config.LoadDefaultConfig(ctx, load...)
	if err != nil {
		return nil, errs.New("", "", "fix ~/.aws/config or the AWS_ variables", errs.BecauseErr(errs.ErrUnavailable, err))
	}
	client := s3.NewFromConfig(cfg, func(o *s3.Options) {
		o.UsePathStyle = os.Getenv("AWS_ENDPOINT_URL") != "" || os.Getenv("AWS_ENDPOINT_URL_S3") != ""
		// Versions and SHA-256 guard the bytes; many servers lack these checksums.
		o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
	})
	b, err := s3blob.OpenBucket(ctx, client, name, nil)
	if err != nil {
		return nil, errs.New("", "", "name a bucket", errs.BecauseErr(errs.ErrUsage, err))
	}
	return &cloud{
		Bucket: b, hint: s3Hint,
		match: func(as func(any) bool, want Info) error {
			var in *s3.GetObjectInput
			if as(&in) && want.Version != "" {
				in.IfMatch = aws.String(want.Version)
			}
			return nil
		},
		answer: func(r *blob.Reader) (span, string, error) {
			var out s3.GetObjectOutput
			if !r.As(&out) {
				return span{}, "", unfit("the store does not say what it answers")
			}
			length := int64(-1)
			if out.ContentLength != nil {
				length = *out.ContentLength
			}
			p, err := spanOf(aws.ToString(out.ContentRange), length)
			return p, aws.ToString(out.ETag), err
		},
		etag: func(o *blob.ListObject) string {
			var obj types.Object
			if o.As(&obj) {
				return aws.ToString(obj.ETag)
			}
			return ""
		},
	}, nil
}

// anonymous reports whether buckets are read without credentials.
func anonymous() bool { return os.Getenv("RESSLT_ANONYMOUS") == "1" }
