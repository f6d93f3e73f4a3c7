package train

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"resslt/schemas/errs"
	"resslt/train/backbone"
	"resslt/train/foreign"
	"resslt/train/nn"
	"resslt/train/torch"
)

// frozen are the names of the backbone's parameters that stay as they are; nil: none. Such a
// parameter has no gradient and is none of the optimiser's, so that neither weight decay nor
// momentum moves it, and the teacher's does not follow the student's, whose equal it is. A batch
// norm whose weight and bias are frozen stays in evaluation mode in both networks, with the running
// statistics that it has: as detectron2 and MMSegmentation freeze stages.
type frozen map[string]bool

// newFrozen finds the parameters that the configuration's patterns name. A pattern is a name, or
// the beginning of names up to a dot; *, ? and [ ] match within it, * across dots. Names are
// torchvision's or timm's, and "stem" is what comes before the first block. An error wraps
// errs.ErrUsage and names what there is.
func newFrozen(c Config) (frozen, error) {
	if len(c.Freeze) == 0 {
		return nil, nil
	}
	bc := c.backbone()
	bc.Blank, bc.Device, bc.StochasticDepth = true, torch.CPU, 0
	b, err := backbone.New(c.Backbone, bc)
	if err != nil {
		return nil, err
	}
	defer nn.Free(b)
	var names []string
	aliases := map[string][]string{}
	err = torch.Do(func() error {
		names, aliases = freezable(b)
		return nil
	})
	if err != nil {
		return nil, err
	}
	f := frozen{}
	for _, pattern := range c.Freeze {
		if _, err := path.Match(pattern, ""); err != nil || pattern == "" {
			return nil, errs.New("recipe key", "freeze", "name parts of the network, as conv1 or layer*", errs.Because(errs.ErrUsage, fmt.Sprintf("%q is no pattern", pattern)))
		}
		found := false
		for _, n := range names {
			if slices.ContainsFunc(append(aliases[n], n), func(name string) bool { return isNamed(pattern, name) }) {
				f[n], found = true, true
			}
		}
		if !found {
			return nil, errs.New("recipe key", "freeze", "it has stem, "+strings.Join(parts(names), ", "),
				errs.Because(errs.ErrUsage, fmt.Sprintf("%s has no parameter %q", c.Backbone, pattern)))
		}
	}
	return f, nil
}

// stemAlias names the parameters before the first block, whatever the network calls them.
const stemAlias = "stem"

// freezable lists a backbone's parameters, and by what other names they are known.
func freezable(b backbone.Backbone) (names []string, aliases map[string][]string) {
	inStem := map[*torch.Tensor]bool{}
	b.Stages()[0].Visit("", func(e nn.Entry) { inStem[e.Tensor] = true })
	var keys []string
	aliases = map[string][]string{}
	b.Visit("", func(e nn.Entry) {
		keys = append(keys, e.Name)
		if !e.Parameter {
			return
		}
		names = append(names, e.Name)
		if inStem[e.Tensor] {
			aliases[e.Name] = append(aliases[e.Name], stemAlias)
		}
	})
	timm, err := foreign.Timm(keys)
	if err != nil {
		return names, aliases // there are no other names
	}
	for _, n := range names {
		aliases[n] = append(aliases[n], timm[n])
	}
	return names, aliases
}

// isNamed reports whether a pattern names a parameter, or a part of the network that it is in.
func isNamed(pattern, name string) bool {
	if name == pattern || strings.HasPrefix(name, pattern+".") {
		return true
	}
	if !strings.ContainsAny(pattern, "*?[") {
		return false
	}
	for i, r := range name + "." {
		if r == '.' {
			if ok, err := path.Match(pattern, name[:i]); ok && err == nil {
				return true
			}
		}
	}
	return false
}

var (
	partOf   = regexp.MustCompile(`^(features\.\d+|classifier\.\d+|encoder\.layers\.encoder_layer_\d+|encoder\.[^.]+|[^.]+)`)
	numbered = regexp.MustCompile(`^(.*?)(\d+)$`)
)

// parts are the parts of a network by the names of its parameters, in order; those that are
// numbered as a range.
func parts(names []string) []string {
	var all []string
	for _, n := range names {
		if p := partOf.FindString(n); !slices.Contains(all, p) {
			all = append(all, p)
		}
	}
	var out []string
	for i := 0; i < len(all); {
		first := i
		for i++; i < len(all) && follows(all[i-1], all[i]); i++ {
		}
		if i-first > 2 {
			out = append(out, all[first]+" … "+all[i-1])
		} else {
			out = append(out, all[first:i]...)
		}
	}
	return out
}

// follows reports whether b is a's name with the next number.
func follows(a, b string) bool {
	m, n := numbered.FindStringSubmatch(a), numbered.FindStringSubmatch(b)
	if m == nil || n == nil || m[1] != n[1] {
		return false
	}
	i, err := strconv.Atoi(m[2])
	return err == nil && n[2] == strconv.Itoa(i+1)
}

// predicate is the names as a backbone's configuration takes them.
func (f frozen) predicate() func(string) bool {
	if f == nil {
		return nil
	}
	return func(name string) bool { return f[name] }
}

// keeps reports whether a buffer of an encoder, by its key, is of a frozen batch norm.
func (f frozen) keeps(key string) bool {
	name, ok := strings.CutPrefix(key, "backbone.")
	norm := name[:strings.LastIndex(name, ".")+1]
	return ok && f[norm+"weight"] && f[norm+"bias"]
}

// trainable are a module's parameters that gradients move.
func trainable(m nn.Module) []nn.Named {
	return slices.DeleteFunc(nn.Parameters(m), func(n nn.Named) bool { return !n.Tensor.RequiresGrad() })
}

// firstTrainable is the index of the first stage with a parameter that gradients move: backward
// ends there. It is the number of stages where there is none.
func firstTrainable(b backbone.Backbone) int {
	stages := b.Stages()
	for i, s := range stages {
		if len(trainable(s)) > 0 {
			return i
		}
	}
	return len(stages)
}
