package bounded_test

import (
	"encoding/json"
	"strings"
	"testing"

	"resslt/schemas/bounded"
	"resslt/schemas/bounded/boundedtest"
)

// FuzzJSON: what is accepted is JSON, and decodes to what encoding/json makes of it.
func FuzzJSON(f *testing.F) {
	for _, s := range []string{`{"a": 1, "b": [{"a": 2}], "c": "{[\"a\""}`, `{"a":1,"\u0061":2}`, strings.Repeat("[", 40), "\xef\xbb\xbf{}", `"\`, `{"a`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		boundedtest.Allocates(t, 1<<20, 500, len(raw), func() {
			var got any
			if err := bounded.JSON(raw, &got); err != nil {
				return
			}
			if !json.Valid([]byte(strings.TrimPrefix(string(raw), "\xef\xbb\xbf"))) {
				t.Error("it is no JSON")
			}
		})
	})
}
