package cli

import (
	"errors"
	"os"
	"testing"

	"resslt/schemas/errs"

	"github.com/spf13/cobra"
)

func TestParseSize(t *testing.T) {
	for s, want := range map[string]int64{"1": 1, "256MB": 256e6, "256 MB": 256e6, "1GiB": 1 << 30, "10kB": 10e3, "7B": 7} {
		if got, err := ParseSize(s); err != nil || got != want {
			t.Errorf("%s is %d, %v; want %d", s, got, err, want)
		}
	}
	for _, s := range []string{"", "0", "-1MB", "1.5GB", "MB", "1XB", "99999999999TB"} {
		if n, err := ParseSize(s); !errors.Is(err, errs.ErrUsage) {
			t.Errorf("%q is %d, %v", s, n, err)
		}
	}
}

func TestCacheFlags(t *testing.T) {
	for in, want := range map[string]string{"2GB": "2000000000", "0": "-1"} {
		t.Setenv("RESSLT_CACHE_DIR", "")
		t.Setenv("RESSLT_CACHE_BYTES", "")
		c := &cobra.Command{Run: func(*cobra.Command, []string) {}}
		CacheFlags(c)
		c.SetArgs([]string{"--cache-dir", "/x", "--cache-bytes", in})
		if err := c.Execute(); err != nil || os.Getenv("RESSLT_CACHE_DIR") != "/x" || os.Getenv("RESSLT_CACHE_BYTES") != want {
			t.Errorf("%s: %v, %s, %s", in, err, os.Getenv("RESSLT_CACHE_DIR"), os.Getenv("RESSLT_CACHE_BYTES"))
		}
	}
}
