package nn

import (
	"fmt"
	"slices"
	"strings"

	"resslt/schemas/errs"
	"resslt/train/torch"
)

// Module is a differentiable function of one tensor with named state.
type Module interface {
	// Forward applies the module. The result belongs to the caller's scope.
	Forward(x *torch.Tensor) *torch.Tensor
	// Visit calls f with every parameter and buffer, names prefixed, in
	// PyTorch's order: own parameters, own buffers, then children.
	Visit(prefix string, f func(Entry))
	// SetTraining switches batch norm between the batch's statistics (true)
	// and the running ones (false).
	SetTraining(on bool)
}

// Stateless is embedded by modules without tensors and modes.
type Stateless struct{}

// Visit does nothing.
func (Stateless) Visit(string, func(Entry)) {}

// SetTraining does nothing.
func (Stateless) SetTraining(bool) {}

// Named is a tensor with its name.
type Named struct {
	Name   string
	Tensor *torch.Tensor
}

// Entry is one tensor of a module's state.
type Entry struct {
	Name      string // "layer1.0.conv1.weight"
	Tensor    *torch.Tensor
	Parameter bool // changed by the optimiser; false for a buffer
}

// StateDict lists every parameter and buffer of m in torchvision's order. The
// tensors are the module's own, not copies.
func StateDict(m Module) []Named {
	var out []Named
	m.Visit("", func(e Entry) { out = append(out, Named{e.Name, e.Tensor}) })
	return out
}

// Parameters lists the parameters of m in torchvision's order.
func Parameters(m Module) []Named {
	var out []Named
	m.Visit("", func(e Entry) {
		if e.Parameter {
			out = append(out, Named{e.Name, e.Tensor})
		}
	})
	return out
}

// Tensors drops the names.
func Tensors(named []Named) []*torch.Tensor {
	out := make([]*torch.Tensor, len(named))
	for i, n := range named {
		out[i] = n.Tensor
	}
	return out
}

// LoadStateDict copies values into m's state by name. Shapes must be equal; element
// types are converted. If strict, both sides must have the same keys; otherwise keys of
// one side alone are ignored. Nothing is copied unless everything matches. Errors wrap
// errs.ErrMismatch and name the keys.
func LoadStateDict(m Module, values map[string]*torch.Tensor, strict bool) error {
	return LoadNamed(StateDict(m), values, strict)
}

// LoadNamed is LoadStateDict for a list of tensors that do not belong to a module.
func LoadNamed(into []Named, values map[string]*torch.Tensor, strict bool) error {
	known := make(map[string]bool, len(into))
	var missing, shapes []string
	for _, n := range into {
		known[n.Name] = true
		v, ok := values[n.Name]
		switch {
		case !ok:
			missing = append(missing, n.Name)
		case !slices.Equal(v.Shape(), n.Tensor.Shape()):
			shapes = append(shapes, fmt.Sprintf("%s is %v, want %v", n.Name, v.Shape(), n.Tensor.Shape()))
		}
	}
	var unexpected []string
	for name := range values {
		if !known[name] {
			unexpected = append(unexpected, name)
		}
	}
	slices.Sort(unexpected) // map order is random
	var why []string
	if len(shapes) > 0 {
		why = append(why, "shapes differ: "+some(shapes))
	}
	if strict && len(missing) > 0 {
		why = append(why, "missing keys: "+some(missing))
	}
	if strict && len(unexpected) > 0 {
		why = append(why, "unexpected keys: "+some(unexpected))
	}
	if len(why) > 0 {
		return errs.New("load state dict", "", "use weights of the same network, width and stem",
			errs.Because(errs.ErrMismatch, strings.Join(why, "; ")))
	}
	return torch.Do(func() error {
		torch.NoGrad(func() {
			for _, n := range into {
				if v, ok := values[n.Name]; ok {
					torch.ScopeDo(func() { torch.Copy_(n.Tensor, v, false) })
				}
			}
		})
		return nil
	})
}

// some joins the first few of a list and counts the rest, so that the error for a wrong
// network stays on one line.
func some(s []string) string {
	const most = 4
	if len(s) <= most {
		return strings.Join(s, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(s[:most], ", "), len(s)-most)
}

// Free releases every tensor of m, which must not be used afterwards.
func Free(m Module) {
	for _, n := range StateDict(m) {
		n.Tensor.Free()
	}
}

// Sequential applies its children in order. Their names are their indices.
type Sequential struct{ Children []Module }

// Forward applies the children in order, a batch norm with the ReLU behind it.
func (s *Sequential) Forward(x *torch.Tensor) *torch.Tensor {
	for i := 0; i < len(s.Children); i++ {
		if norm, ok := s.Children[i].(*BatchNorm); ok && i+1 < len(s.Children) {
			if _, ok := s.Children[i+1].(ReLU); ok {
				x = norm.ForwardReLU(x, nil)
				i++
				continue
			}
		}
		x = s.Children[i].Forward(x)
	}
	return x
}

// Visit visits the children in order.
func (s *Sequential) Visit(prefix string, f func(Entry)) {
	for i, c := range s.Children {
		c.Visit(prefix+fmt.Sprint(i)+".", f)
	}
}

// SetTraining switches the children.
func (s *Sequential) SetTraining(on bool) {
	for _, c := range s.Children {
		c.SetTraining(on)
	}
}
