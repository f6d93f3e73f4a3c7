package cli

import (
	"math"
	"os"
	"strconv"
	"strings"

	"resslt/schemas/errs"

	"github.com/spf13/cobra"
)

// CacheFlags adds --cache-dir, for the indexes of data sets and the local cache of remote
// shards, and --cache-bytes, that one's size, to a program. They set the environment variables RESSLT_CACHE_DIR and RESSLT_CACHE_BYTES,
// which every part that opens data reads: neither verbs nor recipes depend on where the
// data is stored.
func CacheFlags(root *cobra.Command) {
	f := root.PersistentFlags()
	f.Func("cache-dir", "`folder` for the indexes of data sets and the cache of remote shards (default $RESSLT_CACHE_DIR, else resslt in the user's cache)", func(v string) error {
		return os.Setenv("RESSLT_CACHE_DIR", v)
	})
	f.Func("cache-bytes", "its maximum `size`, such as 200GB; 0: no cache (default $RESSLT_CACHE_BYTES, else 32GiB)", func(v string) error {
		n := int64(-1)
		if v != "0" {
			var err error
			if n, err = ParseSize(v); err != nil {
				return err
			}
		}
		return os.Setenv("RESSLT_CACHE_BYTES", strconv.FormatInt(n, 10))
	})
}

// sizeUnits are tried in this order: the longest suffix first.
var sizeUnits = []struct {
	name  string
	bytes int64
}{
	{"KiB", 1 << 10},
	{"MiB", 1 << 20},
	{"GiB", 1 << 30},
	{"TiB", 1 << 40},
	{"kB", 1e3},
	{"KB", 1e3},
	{"MB", 1e6},
	{"GB", 1e9},
	{"TB", 1e12},
	{"B", 1},
	{"", 1},
}

// ParseSize parses "256MB", "1GiB" or a number of bytes, at least 1. Errors wrap
// errs.ErrUsage.
func ParseSize(s string) (int64, error) {
	for _, u := range sizeUnits {
		digits, ok := strings.CutSuffix(s, u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
		if err != nil || n < 1 || n > math.MaxInt64/u.bytes {
			break
		}
		return n * u.bytes, nil
	}
	return 0, errs.Because(errs.ErrUsage, "is not a size")
}
