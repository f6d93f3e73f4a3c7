package schemas

import "testing"

// FuzzSubject: a subject that is taken is the one that its step and chunk are written as.
func FuzzSubject(f *testing.F) {
	for _, s := range []string{"t.run.3.1", "b.r.9223372036854775807.0", "b.r.-1.0", "b.r.007.0", "b.r.+7.0", "t.r.1.-0", "b.r.1.2.3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		run, step, chunk, err := ParseStepSubject(s)
		if err != nil {
			return
		}
		if CheckRunName(run) != nil || s != TaskSubject(run, step, chunk) && s != ChunkSubject(run, step, chunk) {
			t.Errorf("%q is run %q, step %d, chunk %d", s, run, step, chunk)
		}
	})
}

// FuzzNames: orders, which come over the wire and from recipes.
func FuzzNames(f *testing.F) {
	for _, s := range []string{"global", "blocked", "blocked:shards=8,window=16384", "blocked:shards=,"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if o, err := ParseOrder(s); err == nil {
			if again, err := ParseOrder(o.String()); err != nil || again != o {
				t.Errorf("%+v becomes %+v, %v", o, again, err)
			}
		}
	})
}
