package schemas

import (
	"errors"
	"testing"

	"resslt/schemas/errs"
)

func TestParseOrder(t *testing.T) {
	for in, want := range map[string]string{
		"global": "global", "blocked": "blocked:shards=8,window=16384", "blocked:window=100": "blocked:shards=8,window=100",
		"blocked:window=5,shards=3": "blocked:shards=3,window=5", "blocked:shards=4096,window=16777216": "blocked:shards=4096,window=16777216",
	} {
		o, err := ParseOrder(in)
		if err != nil || o.String() != want {
			t.Errorf("%s is %s, %v; want %s", in, o, err, want)
		}
		if again, err := ParseOrder(o.String()); err != nil || again != o {
			t.Errorf("%s does not read back: %+v, %v", o, again, err)
		}
	}
	for _, in := range []string{
		"", "globe", "global:", "global:shards=1", "blocked:", "blocked:shards", "blocked:shards=0",
		"blocked:window=-1", "blocked:size=3", "blocked:shards=4097", "blocked:window=16777217", "blocked:shards=1,",
	} {
		if o, err := ParseOrder(in); !errors.Is(err, errs.ErrUsage) {
			t.Errorf("%q is %s, %v", in, o, err)
		}
	}
}
