package foreign

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Role is what a prefix says of its network.
type Role string

// The roles. An EMA is a teacher as well.
const (
	Student Role = "student"
	Teacher Role = "teacher"
	EMA     Role = "ema"
)

// Roles are what Want.Role may be.
var Roles = []Role{Student, Teacher, EMA}

// candidate is an encoder in a checkpoint.
type candidate struct {
	prefix string
	kind   *kind
	role   Role
}

// kind is a family of networks under one way of naming.
type kind struct {
	// marks are keys that every encoder of the kind has; the first finds the prefixes.
	marks []string
	// rename gives torchvision's key, "" for what is no part of the encoder: heads, classifiers.
	rename func(key string, has func(key string) bool) string
	// alters matches keys that change the features where rename has no name for them; nil: none.
	alters *regexp.Regexp
}

var (
	resnetPart   = regexp.MustCompile(`^(conv1|bn1|layer[1-4])\.`)
	featuresPart = regexp.MustCompile(`^features\.`)

	// ours matches keys of torchvision's encoders at the root.
	ours = regexp.MustCompile(resnetPart.String() + "|" + featuresPart.String() + "|" + vitPart.String())
)

// children are the stages of a torchvision ResNet, by their numbers in Sequential(*children()).
var children = map[string]string{"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4"}

// kinds are those that are known. All of them are this build's networks.
var kinds = []*kind{
	// a ResNet
	{[]string{"conv1.weight", "bn1.weight", "layer1.0.conv1.weight"}, only(resnetPart), nil},
	// an EfficientNet, MobileNetV3 or ConvNeXt
	{[]string{"features.0.0.weight", "features.0.1.weight"}, featuresSelf, nil},
	// timm's ConvNeXt, and the paper's
	{[]string{"stem.0.weight", "stages.0.blocks.0.conv_dw.weight", "stages.0.blocks.0.gamma"}, convNeXtOurs, convNeXtAlters},
	{[]string{"downsample_layers.0.0.weight", "stages.0.0.dwconv.weight", "stages.0.0.gamma"}, convNeXtOurs, convNeXtAlters},
	// a ResNet's children, by number
	{[]string{"0.weight", "1.weight", "4.0.conv1.weight", "7.0.conv1.weight"}, func(key string, _ func(string) bool) string {
		number, rest, _ := strings.Cut(key, ".")
		if name := children[number]; name != "" {
			return name + "." + rest
		}
		return ""
	}, nil},
	// timm's EfficientNet or MobileNetV3
	{[]string{"conv_stem.weight", "bn1.weight", "blocks.0.0.conv_dw.weight"}, fromTimm, nil},
	// a Vision Transformer: torchvision's, timm's, in chunks
	{[]string{"class_token", "conv_proj.weight", "encoder.pos_embedding"}, vitSelf, vitAlters},
	{[]string{"cls_token", "patch_embed.proj.weight", "blocks.0.attn.qkv.weight"}, vitFromTimm, vitAlters},
	{[]string{"cls_token", "patch_embed.proj.weight", "blocks.0.0.attn.qkv.weight"}, vitFromTimm, vitAlters},
}

// featuresSelf is torchvision's own key. Of a ConvNeXt's classifier the layer norm of the averages
// belongs to the encoder.
func featuresSelf(key string, has func(string) bool) string {
	if featuresPart.MatchString(key) || strings.HasPrefix(key, "classifier.0.") && has("features.1.0."+layerScale) {
		return key
	}
	return ""
}

func only(part *regexp.Regexp) func(string, func(string) bool) string {
	return func(key string, _ func(string) bool) string {
		if part.MatchString(key) {
			return key
		}
		return ""
	}
}

// slow are the words in a prefix of networks that follow the student.
var slow = map[string]Role{
	"momentum": Teacher, "teacher": Teacher, "target": Teacher, "key": Teacher, "offline": Teacher,
	"ema": EMA, "averaged": EMA, "shadow": EMA, "swa": EMA,
}

// roleOf is what a prefix says.
func roleOf(prefix string) Role {
	role := Student
	for _, word := range strings.FieldsFunc(strings.ToLower(prefix), func(r rune) bool { return r == '.' || r == '_' }) {
		if r := slow[word]; r == EMA || r != "" && role == Student {
			role = r
		}
	}
	if role == Student && (strings.Contains(prefix, "encoder_k.") || strings.Contains(prefix, "encoder_k_")) {
		return Teacher
	}
	return role
}

// find lists the encoders among the tensors of these names, in order of prefix.
func find(names []string) []candidate {
	has := map[string]bool{}
	for _, n := range names {
		has[n] = true
	}
	var out []candidate
	for _, k := range kinds {
		for _, n := range names {
			p, ok := strings.CutSuffix(n, k.marks[0])
			if !ok || p != "" && !strings.HasSuffix(p, ".") {
				continue
			}
			if !slices.ContainsFunc(k.marks, func(m string) bool { return !has[p+m] }) {
				out = append(out, candidate{p, k, roleOf(p)})
			}
		}
	}
	slices.SortFunc(out, func(a, b candidate) int { return cmp.Compare(a.prefix, b.prefix) })
	return out
}

// keys maps the tensors of an encoder to torchvision's keys.
func (c candidate) keys(names []string) map[string]string {
	has := map[string]bool{}
	for _, n := range names {
		has[n] = true
	}
	out := map[string]string{}
	for _, n := range names {
		key, ok := strings.CutPrefix(n, c.prefix)
		if !ok {
			continue
		}
		if to := c.kind.rename(key, func(k string) bool { return has[c.prefix+k] }); to != "" {
			out[n] = to
		}
	}
	return out
}

// altering is a tensor of the encoder that changes its features, and that this build's networks
// have not; "" where there is none.
func (c candidate) altering(names []string, keys map[string]string) string {
	for _, n := range names {
		if key, ok := strings.CutPrefix(n, c.prefix); ok && c.kind.alters != nil && keys[n] == "" && c.kind.alters.MatchString(key) {
			return n
		}
	}
	return ""
}

// head matches the keys of what projects put behind or beside an encoder.
var head = regexp.MustCompile(`^(fc|heads?|classifier|last_linear|linear\d*|projector|projection|projection_head|proj_head|` +
	`predictor|prediction_head|online_head|prototypes|mlp|decoder\w*|mask_token|dino_head|ibot_head|queue\w*|logit_scale|center)(\.|$)`)

// rest gives the tensors below the encoder's prefix that are none of its own: those that are
// known to be of no encoder, or of another one, and those of which nothing is known.
func (c candidate) rest(names []string, keys map[string]string) (dropped, unknown []string) {
	others := find(names)
	for _, n := range names {
		key, ok := strings.CutPrefix(n, c.prefix)
		if !ok || keys[n] != "" {
			continue
		}
		ofAnother := slices.ContainsFunc(others, func(o candidate) bool {
			return len(o.prefix) > len(c.prefix) && strings.HasPrefix(n, o.prefix)
		})
		if ofAnother || head.MatchString(key) {
			dropped = append(dropped, n)
		} else {
			unknown = append(unknown, n)
		}
	}
	return dropped, unknown
}

// IsHead gives a predicate for the tensors of one of torchvision's networks at the root, by their
// names: it holds for those of the classifier. A ConvNeXt's layer norm of the averages, which
// torchvision counts to its classifier, is the encoder's.
func IsHead(names []string) func(name string) bool {
	convNeXt := slices.Contains(names, "features.1.0."+layerScale)
	return func(name string) bool {
		own := convNeXt && strings.HasPrefix(name, "classifier.0.")
		return !own && (strings.HasPrefix(name, "fc.") || strings.HasPrefix(name, "classifier.") || strings.HasPrefix(name, "heads."))
	}
}

// Summary says what tensors' names begin with, and how many do.
func Summary(names []string) string { return summary(names) }

// choose gives those whose role is wanted: students alone where there are some, unless another
// is asked for.
func choose(all []candidate, want Role) []candidate {
	fits := func(ok func(Role) bool) (out []candidate) {
		for _, c := range all {
			if ok(c.role) {
				out = append(out, c)
			}
		}
		return out
	}
	switch want {
	case "":
		if out := fits(func(r Role) bool { return r == Student }); len(out) > 0 {
			return out
		}
		return all
	case Teacher:
		if out := fits(func(r Role) bool { return r == Teacher }); len(out) > 0 {
			return out
		}
		return fits(func(r Role) bool { return r != Student })
	default:
		return fits(func(r Role) bool { return r == want })
	}
}

// mostPrefixes bounds a list in an error.
const mostPrefixes = 8

// summary says what a checkpoint holds instead of an encoder: what its keys begin with, and
// how many tensors do.
func summary(names []string) string {
	count := map[string]int{}
	var order []string
	for _, n := range names {
		words := strings.Split(n, ".")
		depth := min(len(words)-1, 3)
		for i, w := range words[:depth] {
			if w != "" && w[0] >= '0' && w[0] <= '9' {
				depth = i
				break
			}
		}
		p := strings.Join(words[:max(depth, 1)], ".")
		if len(p) > 60 {
			p = p[:60] + "…"
		}
		if count[p]++; count[p] == 1 {
			order = append(order, p)
		}
	}
	var parts []string
	for i, p := range order {
		if i == mostPrefixes {
			parts = append(parts, "…")
			break
		}
		parts = append(parts, fmt.Sprintf("%q (%d)", p, count[p]))
	}
	return strings.Join(parts, ", ")
}

func prefixes(cs []candidate) string {
	var out []string
	for i, c := range cs {
		if i == mostPrefixes {
			out = append(out, "…")
			break
		}
		out = append(out, fmt.Sprintf("%q", c.prefix))
	}
	return strings.Join(out, ", ")
}
