package boundedyaml_test

import (
	"strings"
	"testing"

	"resslt/schemas/bounded/boundedtest"
	"resslt/schemas/bounded/boundedyaml"

	"github.com/goccy/go-yaml"
)

// FuzzParse: what Parse lets pass, the decoder can decode.
func FuzzParse(f *testing.F) {
	for _, c := range texts {
		if len(c.text) < 3000 {
			f.Add([]byte(c.text))
		}
	}
	f.Add([]byte("a: &a {b: 1}\nc:\n  <<: *a\n? d\n: |\n  e\n--- !!str f\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		boundedtest.Allocates(t, 64<<20, 2000, len(text), func() {
			_, err := boundedyaml.Parse(text)
			if err != nil {
				if strings.Contains(err.Error(), "\n") {
					t.Errorf("more than one line: %q", err)
				}
				return
			}
			var into any
			_ = boundedyaml.Protect(func() error { return yaml.Unmarshal(text, &into) }) // an error is good enough
		})
	})
}
