package augment

import (
	"fmt"
	"math"
	"sort"
	"strconv"
	"strings"

	"resslt/schemas/bounded"
	"resslt/schemas/bounded/boundedyaml"
	"resslt/schemas/errs"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// opSyntax is an operation in YAML: its defaults, and the field of each key.
type opSyntax struct {
	defaults Op
	keys     map[string]func(*Op) any // to *float64, *int, *bool, *Range, *Color or *Filter
}

var (
	keyP      = func(o *Op) any { return &o.P }
	keyFilter = func(o *Op) any { return &o.Filter }
	keyN      = func(o *Op) any { return &o.N }
	keyM      = func(o *Op) any { return &o.M }
)

var syntax = map[OpKind]opSyntax{
	RandomResizedCrop: {
		Op{Scale: Range{0.08, 1}, Ratio: Range{3.0 / 4, 4.0 / 3}, Filter: Bilinear}, // torchvision's defaults
		map[string]func(*Op) any{
			"scale":  func(o *Op) any { return &o.Scale },
			"ratio":  func(o *Op) any { return &o.Ratio },
			"filter": keyFilter,
		},
	},
	ResizeWhole: {Op{Filter: Bilinear}, map[string]func(*Op) any{"filter": keyFilter}},
	CenterCrop: {
		Op{Fraction: 0.875, Filter: Bilinear}, // 224 of 256
		map[string]func(*Op) any{
			"fraction": func(o *Op) any { return &o.Fraction },
			"filter":   keyFilter,
		},
	},
	ResizeCenterCrop: {
		Op{Resize: 256, Filter: Bilinear},
		map[string]func(*Op) any{
			"resize": func(o *Op) any { return &o.Resize },
			"filter": keyFilter,
		},
	},
	PaddedCrop: {Op{Padding: 4}, map[string]func(*Op) any{"padding": func(o *Op) any { return &o.Padding }}},
	Flip:       {Op{P: 0.5}, map[string]func(*Op) any{"p": keyP}},
	Grayscale:  {Op{P: 0.2}, map[string]func(*Op) any{"p": keyP}},
	ColorJitter: {
		Op{P: 0.8},
		map[string]func(*Op) any{
			"p":          keyP,
			"brightness": func(o *Op) any { return &o.Brightness },
			"contrast":   func(o *Op) any { return &o.Contrast },
			"saturation": func(o *Op) any { return &o.Saturation },
			"hue":        func(o *Op) any { return &o.Hue },
		},
	},
	GaussianBlur: {
		Op{P: 0.5, Sigma: Range{0.1, 2}},
		map[string]func(*Op) any{"p": keyP, "sigma": func(o *Op) any { return &o.Sigma }},
	},
	Solarize: {
		Op{P: 0.2, Threshold: 128},
		map[string]func(*Op) any{"p": keyP, "threshold": func(o *Op) any { return &o.Threshold }},
	},
	RandAugment: {
		Op{P: 0.5, N: 5, M: 10},
		map[string]func(*Op) any{
			"p": keyP,
			"n": keyN,
			"m": keyM,
		},
	},
	TorchvisionRandAugment: {Op{N: 2, M: 9}, map[string]func(*Op) any{"n": keyN, "m": keyM}},
	TrivialAugmentWide:     {},
	TimmRandAugment: {
		Op{P: 0.5, N: 2, M: 10, Fill: Color{124, 116, 104}}, // timm's defaults, and ImageNet's mean colour
		map[string]func(*Op) any{
			"p":          keyP,
			"n":          keyN,
			"m":          keyM,
			"filter":     keyFilter,
			"mstd":       func(o *Op) any { return &o.MStd },
			"increasing": func(o *Op) any { return &o.Increasing },
			"fill":       func(o *Op) any { return &o.Fill },
		},
	},
}

func opNames() []string { return sortedKeys(syntax) }

func sortedKeys[K ~string, V any](m map[K]V) []string {
	names := make([]string, 0, len(m))
	for k := range m {
		names = append(names, string(k))
	}
	sort.Strings(names)
	return names
}

// ParsePolicy parses a policy in YAML; name is the file's, for messages. Unknown keys and
// operations and impossible ranges are errors that name file, line and key, and wrap
// errs.ErrUsage.
func ParsePolicy(name string, text []byte) (*Policy, error) {
	ps, err := parsePolicies(name, text)
	if err != nil {
		return nil, err
	}
	if len(ps) != 1 {
		return nil, errs.New("policy", name, "write one policy in each file",
			errs.Because(errs.ErrUsage, fmt.Sprintf("it holds %d", len(ps))))
	}
	return ps[0], nil
}

// parsePolicies parses a file of one or more YAML documents.
func parsePolicies(name string, text []byte) (ps []*Policy, err error) {
	bad := func(why string) error {
		return errs.New("policy", name, "correct the YAML", errs.Because(errs.ErrUsage, why))
	}
	file, err := boundedyaml.Parse(text)
	if err != nil {
		return nil, bad(err.Error())
	}
	for _, doc := range file.Docs {
		if doc == nil || doc.Body == nil {
			continue
		}
		p, err := parseDocument(name, doc.Body)
		if err != nil {
			return nil, err
		}
		ps = append(ps, p)
	}
	return ps, nil
}

// yamlFault is a fault at a place of the text.
type yamlFault struct {
	node ast.Node
	fault
}

func at(n ast.Node, path, why, hint string) *yamlFault {
	return &yamlFault{n, fault{path, why, hint}}
}

// document is a policy that is being read, and the lines of its fields.
type document struct {
	policy *Policy
	lines  map[string]int // by fault path
}

func parseDocument(name string, body ast.Node) (*Policy, error) {
	d := document{&Policy{Limits: DefaultLimits}, map[string]int{}}
	place := func(line int, f fault) error {
		return errs.New("policy", fmt.Sprintf("%s:%d: %s", name, line, f.path), f.hint, errs.Because(errs.ErrUsage, f.why))
	}
	if e := d.read(body); e != nil {
		return nil, place(lineOf(e.node), e.fault)
	}
	if f := d.policy.check(); f != nil {
		// The field itself may be a default: then its operation's line, or its view's,
		// is reported.
		for path := f.path; ; {
			if line, ok := d.lines[path]; ok {
				return nil, place(line, *f)
			}
			cut := strings.LastIndexAny(path, ".[")
			if cut < 0 {
				return nil, place(lineOf(body), *f)
			}
			path = path[:cut]
		}
	}
	return d.policy, nil
}

func lineOf(n ast.Node) int {
	if n != nil && n.GetToken() != nil && n.GetToken().Position != nil {
		return n.GetToken().Position.Line
	}
	return 1
}

// each calls f for every key of a mapping.
func each(n ast.Node, path string, f func(key string, kn, vn ast.Node) *yamlFault) *yamlFault {
	var values []*ast.MappingValueNode
	switch m := n.(type) {
	case *ast.MappingNode:
		values = m.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{m}
	case *ast.NullNode:
	default:
		return at(n, path, "is no mapping", "write key: value pairs")
	}
	for _, v := range values {
		key, ok := v.Key.(*ast.StringNode)
		if !ok {
			return at(v, path, "has a key that is not a plain word", "use the documented keys")
		}
		if err := f(key.Value, v.Key, v.Value); err != nil {
			return err
		}
	}
	return nil
}

func (d *document) read(body ast.Node) *yamlFault {
	const keys = "name, source, limits, views"
	return each(body, "policy", func(key string, kn, vn ast.Node) *yamlFault {
		d.lines[key] = lineOf(kn)
		switch key {
		case "name":
			return text(vn, key, &d.policy.Name)
		case "source":
			return text(vn, key, &d.policy.Source)
		case "limits":
			return each(vn, key, func(k string, kn, vn ast.Node) *yamlFault {
				path := "limits." + k
				d.lines[path] = lineOf(kn)
				switch k {
				case "max_pixels":
					return value(vn, path, &d.policy.Limits.MaxPixels)
				case "max_bytes":
					return value(vn, path, &d.policy.Limits.MaxBytes)
				case "max_side":
					return value(vn, path, &d.policy.Limits.MaxSide)
				}
				return at(kn, path, "is an unknown key", "use one of max_pixels, max_bytes, max_side")
			})
		case "views":
			list, ok := vn.(*ast.SequenceNode)
			if !ok {
				return at(vn, key, "is no list", "write one entry a view, each beginning with '-'")
			}
			for _, n := range list.Values {
				if err := d.readView(n); err != nil {
					return err
				}
			}
			return nil
		}
		return at(kn, key, "is an unknown key", "use one of "+keys)
	})
}

// readView appends a view, or count views whose names are numbered from 1.
func (d *document) readView(n ast.Node) *yamlFault {
	first := len(d.policy.Views)
	prefix := "views[" + strconv.Itoa(first) + "]"
	d.lines[prefix] = lineOf(n)
	var v View
	count := 1
	counted := false
	err := each(n, prefix, func(key string, kn, vn ast.Node) *yamlFault {
		path := prefix + "." + key
		d.lines[path] = lineOf(kn)
		switch key {
		case "name":
			return text(vn, path, &v.Name)
		case "role":
			return text(vn, path, (*string)(&v.Role))
		case "size":
			return value(vn, path, &v.Size)
		case "count":
			counted = true
			if err := value(vn, path, &count); err != nil {
				return err
			}
			if count < 1 || count > maxViews {
				return at(vn, path, fmt.Sprintf("is %d", count), fmt.Sprintf("give 1 to %d", maxViews))
			}
			return nil
		case "ops":
			list, ok := vn.(*ast.SequenceNode)
			if !ok {
				return at(vn, path, "is no list", "write one entry an operation, each beginning with '-'")
			}
			for i, n := range list.Values {
				op, err := d.readOp(n, path+"["+strconv.Itoa(i)+"]")
				if err != nil {
					return err
				}
				v.Ops = append(v.Ops, op)
			}
			return nil
		}
		return at(kn, path, "is an unknown key", "use one of name, role, size, count, ops")
	})
	if err != nil {
		return err
	}
	for i := range count {
		w := v
		if counted {
			w.Name = v.Name + strconv.Itoa(i+1)
		}
		// Later copies report the lines of the one entry that made them.
		if at := "views[" + strconv.Itoa(first+i) + "]"; at != prefix {
			d.lines[at] = d.lines[prefix]
		}
		d.policy.Views = append(d.policy.Views, w)
	}
	return nil
}

func (d *document) readOp(n ast.Node, path string) (Op, *yamlFault) {
	d.lines[path] = lineOf(n)
	if s, ok := n.(*ast.StringNode); ok { // "- flip": all defaults
		return opOf(s.Value, n, path)
	}
	var op Op
	seen := ""
	err := each(n, path, func(kind string, kn, vn ast.Node) *yamlFault {
		if seen != "" {
			return at(kn, path+"."+kind, "is in the entry of "+seen, "begin each operation with its own '-'")
		}
		seen = kind
		var err *yamlFault
		if op, err = opOf(kind, kn, path); err != nil {
			return err
		}
		keys := syntax[op.Kind].keys
		return each(vn, path+"."+kind, func(key string, kn, vn ast.Node) *yamlFault {
			field, ok := keys[key]
			if !ok {
				return at(kn, path+"."+kind+"."+key, "is an unknown key", bounded.Suggest(key, sortedKeys(keys))+"use one of "+strings.Join(sortedKeys(keys), ", "))
			}
			d.lines[path+"."+key] = lineOf(kn)
			return value(vn, path+"."+kind+"."+key, field(&op))
		})
	})
	if err == nil && seen == "" {
		err = at(n, path, "is empty", "name an operation: "+strings.Join(opNames(), ", "))
	}
	return op, err
}

func opOf(kind string, n ast.Node, path string) (Op, *yamlFault) {
	s, ok := syntax[OpKind(kind)]
	if !ok {
		return Op{}, at(n, path, fmt.Sprintf("%q is an unknown operation", kind), bounded.Suggest(kind, opNames())+"use one of "+strings.Join(opNames(), ", "))
	}
	op := s.defaults
	op.Kind = OpKind(kind)
	return op, nil
}

func text(n ast.Node, path string, to *string) *yamlFault {
	switch s := n.(type) {
	case *ast.StringNode:
		*to = s.Value
		return nil
	case *ast.LiteralNode:
		*to = strings.TrimSpace(s.Value.Value)
		return nil
	}
	return at(n, path, "is no text", "write a word or quote the text")
}

// value reads a node into a *float64, *int, *bool, *Range, *Color or *Filter.
func value(n ast.Node, path string, to any) *yamlFault {
	switch to := to.(type) {
	case *Filter:
		return text(n, path, (*string)(to))
	case *float64:
		v, ok := number(n)
		if !ok {
			return at(n, path, "is no number", "write a number such as 0.5")
		}
		*to = v
	case *int:
		v, ok := number(n)
		if !ok || v != math.Trunc(v) || math.Abs(v) > math.MaxInt32 {
			return at(n, path, "is no whole number", "write a whole number such as 32")
		}
		*to = int(v)
	case *bool:
		v, ok := n.(*ast.BoolNode)
		if !ok {
			return at(n, path, "is neither true nor false", "write true or false")
		}
		*to = v.Value
	case *Color:
		list, ok := n.(*ast.SequenceNode)
		if !ok || len(list.Values) != len(to) {
			return at(n, path, "is no colour", "write [red, green, blue]")
		}
		for i := range to {
			if err := value(list.Values[i], path, &to[i]); err != nil {
				return err
			}
		}
	case *Range:
		list, ok := n.(*ast.SequenceNode)
		if !ok || len(list.Values) != 2 {
			return at(n, path, "is no pair", "write [min, max]")
		}
		for i := range to {
			if to[i], ok = number(list.Values[i]); !ok {
				return at(n, path, "is no pair of numbers", "write [min, max]")
			}
		}
	}
	return nil
}

func number(n ast.Node) (float64, bool) {
	switch n.Type() {
	case ast.IntegerType, ast.FloatType:
		// The token's text is parsed here rather than by the library, so that numbers
		// are those of strconv.
		v, err := strconv.ParseFloat(strings.ReplaceAll(tokenText(n.GetToken()), "_", ""), 64)
		return v, err == nil
	}
	return 0, false
}

func tokenText(t *token.Token) string {
	if t == nil {
		return ""
	}
	return t.Value
}
