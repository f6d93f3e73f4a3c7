package pth

import (
	"fmt"
	"strconv"

	"resslt/schemas/errs"
)

// Bounds on what is looked through for tensors. Python's references let a small pickle spell
// a tree of any size.
const (
	maxDepth = 32
	maxNodes = 1 << 20
	maxKey   = 1024     // bytes of one key
	maxNames = 64 << 20 // bytes of all names together
)

// finder collects the tensors of a checkpoint under their keys, joined by dots with those of the
// dictionaries around them.
type finder struct {
	names  []string
	found  map[string]tensor
	nodes  int
	length int
}

func (f *finder) walk(name string, v any, depth int) error {
	f.nodes++
	if depth > maxDepth || f.nodes > maxNodes {
		return errs.Because(errs.ErrTooLarge, fmt.Sprintf("dictionaries more than %d deep, or of more than %d values", maxDepth, maxNodes))
	}
	switch v := v.(type) {
	case tensor:
		return f.add(name, v)
	case *dict:
		return f.pairs(name, v, depth)
	case *object:
		if v.items != nil {
			if err := f.pairs(name, v.items, depth); err != nil {
				return err
			}
		}
		return f.module(name, v, depth)
	}
	return nil
}

func (f *finder) add(name string, t tensor) error {
	if _, again := f.found[name]; !again {
		if f.length += len(name); f.length > maxNames {
			return errs.Because(errs.ErrTooLarge, fmt.Sprintf("names of more than %d MiB", maxNames>>20))
		}
		f.names = append(f.names, name)
	}
	f.found[name] = t
	return nil
}

func (f *finder) pairs(name string, d *dict, depth int) error {
	for _, p := range d.pairs {
		key, ok := "", true
		switch k := p.key.(type) {
		case string:
			key = k
		case int64:
			key = strconv.FormatInt(k, 10)
		default:
			ok = false
		}
		if !ok || len(key) > maxKey {
			continue // no key of a state dict
		}
		if name != "" {
			key = name + "." + key
		}
		if err := f.walk(key, p.value, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// module collects what a torch.nn.Module that was saved whole has in its state dict.
func (f *finder) module(name string, o *object, depth int) error {
	state, ok := o.state.(*dict)
	if !ok {
		return nil
	}
	for _, part := range []string{"_parameters", "_buffers", "_modules"} {
		if v, ok := state.get(part); ok {
			if err := f.walk(name, v, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}
