package torch

// Scopes are a stack, and the tensors of all of them one slice: those of a
// scope start at its base. Only the device thread touches these, inside Do.
var (
	arena []*Tensor
	level int32
)

// openScope starts a scope and returns its base.
func openScope() int {
	level++
	return len(arena)
}

// closeScope frees the tensors from base on that the scope still owns, and moves
// those in keep to the enclosing scope. It leaves tensors in keep that an outer
// scope owns, or that are kept.
func closeScope(base int, keep []*Tensor) {
	for _, t := range keep {
		if t != nil && t.level == level {
			t.level = level - 1
		}
	}
	var chunk [64]uint64
	n, out := 0, base
	for _, t := range arena[base:] {
		switch {
		case t.level == level-1 && t.level != 0: // moved out by keep, above
			arena[out] = t
			out++
		case t.level == level && t.h > handleFreed:
			if n == len(chunk) {
				release(chunk[:n])
				n = 0
			}
			chunk[n] = t.h
			n++
			t.h = handleFreed
		}
	}
	if n > 0 {
		release(chunk[:n])
	}
	clear(arena[out:])
	arena = arena[:out]
	level--
}

// own wraps a new handle from the shim; the innermost scope owns it. An undefined
// tensor of libtorch becomes nil.
func own(h uint64) *Tensor {
	if h == handleNil {
		return nil
	}
	t := &Tensor{h: h, level: level}
	arena = append(arena, t)
	return t
}

// Scope runs fn and frees every tensor made inside, except the one that fn returns,
// which moves to the enclosing scope. The result may be nil.
func Scope(fn func() *Tensor) *Tensor {
	var one [1]*Tensor
	mustBeInside("Scope")
	base := openScope()
	defer func() { closeScope(base, one[:]) }()
	one[0] = fn()
	return one[0]
}

// ScopeN is Scope for several results.
func ScopeN(fn func() []*Tensor) (results []*Tensor) {
	mustBeInside("ScopeN")
	base := openScope()
	defer func() { closeScope(base, results) }()
	return fn()
}

// ScopeDo runs fn and frees every tensor made inside.
func ScopeDo(fn func()) {
	mustBeInside("ScopeDo")
	base := openScope()
	defer closeScope(base, nil)
	fn()
}

// LiveTensors is the number of tensor handles not yet freed, counted by the
// shim. It is 0 if none is loaded.
func LiveTensors() int64 {
	if opened.Load() == nil {
		return 0
	}
	return dlLive()
}
