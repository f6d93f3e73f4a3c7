package schemas

import "testing"

// FuzzNames: subjects and orders, which come over the wire and from recipes.
func FuzzNames(f *testing.F) {
	for _, s := range []string{"t.run.3.1", "b.r.9223372036854775807.0", "b.r.-1.0", "global", "blocked", "blocked:shards=8,window=16384", "blocked:shards=,"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if run, step, chunk, err := ParseStepSubject(s); err == nil && (step < 0 || chunk < 0 || CheckRunName(run) != nil) {
			t.Errorf("%q, step %d, chunk %d", run, step, chunk)
		}
		if o, err := ParseOrder(s); err == nil {
			if again, err := ParseOrder(o.String()); err != nil || again != o {
				t.Errorf("%+v becomes %+v, %v", o, again, err)
			}
		}
	})
}
