package foreign

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"resslt/train/safetensors"
)

// timm's EfficientNet and MobileNetV3-Large are torchvision's networks under other names. A
// block's parts have names there and numbers here:
//
//	timm, inverted residual    conv_pw bn1, conv_dw bn2, se, conv_pwl bn3
//	timm, without expansion    conv_dw bn1, se, conv_pw bn2
//	torchvision                block.0.{0,1}, block.1.{0,1}, block.2.{fc1,fc2}, block.3.{0,1}; those that there are
//
// An EfficientNet's features.S.B is blocks.(S-1).B. MobileNetV3's features.1 to 16 are not
// grouped in stages, as timm's blocks are.
var mobileStages = []int{1, 2, 4, 7, 11, 13, 16} // the first features.N of each of timm's stages

var (
	torchvisionBlock = regexp.MustCompile(`^features\.(\d+)\.(?:(\d+)\.)?block\.(\d+)\.(.+)$`)
	torchvisionConv  = regexp.MustCompile(`^features\.(\d+)\.([01])\.([a-z_]+)$`)
	timmBlock        = regexp.MustCompile(`^blocks\.(\d+)\.(\d+)\.([a-z0-9_]+)\.(.+)$`)
	excitation       = strings.NewReplacer("fc1.", "se.conv_reduce.", "fc2.", "se.conv_expand.")
)

// ToTimm gives an encoder's tensors timm's names and forms.
func ToTimm(tensors []safetensors.Tensor) ([]safetensors.Tensor, error) {
	keys := make([]string, len(tensors))
	for i, t := range tensors {
		keys[i] = t.Name
	}
	names, err := Timm(keys)
	if err != nil {
		return nil, err
	}
	out := make([]safetensors.Tensor, len(tensors))
	for i, t := range tensors {
		out[i] = t
		out[i].Name = names[t.Name]
		if strings.HasSuffix(t.Name, "."+layerScale) {
			out[i].Shape = t.Shape[:1]
		}
	}
	return out, nil
}

// Timm gives the keys of an encoder under timm's names: those of a ResNet are the same. The
// error names a key that no such network has.
func Timm(keys []string) (map[string]string, error) {
	has := map[string]bool{}
	last := 0 // stage
	for _, k := range keys {
		has[k] = true
		if m := torchvisionConv.FindStringSubmatch(k); m != nil {
			n, _ := strconv.Atoi(m[1]) // digits
			last = max(last, n)
		}
	}
	out := map[string]string{}
	for _, k := range keys {
		switch {
		case resnetPart.MatchString(k):
			out[k] = k
		case vitPart.MatchString(k):
			out[k] = vitToTimm(k)
		case has["features.1.0."+layerScale]:
			out[k] = convNeXtToTimm(k)
		default:
			out[k] = toTimm(k, last, func(key string) bool { return has[key] })
		}
		if out[k] == "" {
			return nil, unsupported("timm has no name for %.80q", k)
		}
	}
	return out, nil
}

// toTimm is timm's name of a torchvision key; last is the number of the last stage, a
// convolution.
func toTimm(key string, last int, has func(string) bool) string {
	if m := torchvisionConv.FindStringSubmatch(key); m != nil {
		stage, _ := strconv.Atoi(m[1]) // digits
		var names [2]string
		switch {
		case stage == 0:
			names = [2]string{"conv_stem", "bn1"}
		case stage == last && last == mobileStages[len(mobileStages)-1]:
			names = [2]string{"blocks.6.0.conv", "blocks.6.0.bn1"}
		case stage == last:
			names = [2]string{"conv_head", "bn2"}
		default:
			return ""
		}
		return names[m[2][0]-'0'] + "." + m[3]
	}
	m := torchvisionBlock.FindStringSubmatch(key)
	if m == nil {
		return ""
	}
	stage, _ := strconv.Atoi(m[1]) // digits
	body := "features." + m[1] + "."
	in := ""
	if m[2] != "" {
		body += m[2] + "."
		in = fmt.Sprintf("blocks.%d.%s.", stage-1, m[2])
	} else {
		for s := len(mobileStages) - 1; s >= 0 && in == ""; s-- {
			if stage >= mobileStages[s] {
				in = fmt.Sprintf("blocks.%d.%d.", s, stage-mobileStages[s])
			}
		}
	}
	part, _ := strconv.Atoi(m[3]) // digits
	if strings.HasPrefix(m[4], "fc") {
		return in + excitation.Replace(m[4])
	}
	parts := partNames(func(i int) bool { return has(fmt.Sprintf("%sblock.%d.fc1.weight", body, i)) },
		func(i int) bool { return has(fmt.Sprintf("%sblock.%d.0.weight", body, i)) })
	if part >= len(parts) || len(m[4]) < 3 || m[4][1] != '.' || m[4][0] != '0' && m[4][0] != '1' {
		return ""
	}
	return in + parts[part][m[4][0]-'0'] + m[4][1:]
}

// partNames are timm's names of the convolutions and norms of a block, by number.
func partNames(excites, convolves func(int) bool) [][2]string {
	n, at := 0, []int{}
	for ; excites(n) || convolves(n); n++ {
		if !excites(n) {
			at = append(at, n)
		}
	}
	out := make([][2]string, n)
	names := [][2]string{{"conv_pw", "bn1"}, {"conv_dw", "bn2"}, {"conv_pwl", "bn3"}}
	if len(at) == 2 {
		names = [][2]string{{"conv_dw", "bn1"}, {"conv_pw", "bn2"}}
	}
	for i, part := range at {
		if i < len(names) {
			out[part] = names[i]
		}
	}
	return out
}

// fromTimm is torchvision's key of a timm one, "" for classifiers, and for the convolution
// behind MobileNetV3's average, which is a part of its classifier.
func fromTimm(key string, has func(string) bool) string {
	mobile := has("conv_head.bias")
	head, rest, _ := strings.Cut(key, ".")
	switch {
	case head == "conv_stem":
		return "features.0.0." + rest
	case head == "bn1":
		return "features.0.1." + rest
	case head == "conv_head" && !mobile:
		return "features.8.0." + rest
	case head == "bn2" && !mobile:
		return "features.8.1." + rest
	}
	m := timmBlock.FindStringSubmatch(key)
	if m == nil {
		return ""
	}
	stage, _ := strconv.Atoi(m[1]) // digits
	block, _ := strconv.Atoi(m[2]) // digits
	at := fmt.Sprintf("features.%d.%d.", stage+1, block)
	if mobile {
		if stage >= len(mobileStages) {
			return ""
		}
		at = fmt.Sprintf("features.%d.", mobileStages[stage]+block)
	}
	in := "blocks." + m[1] + "." + m[2] + "."
	if has(in + "conv.weight") { // MobileNetV3's last
		switch m[3] {
		case "conv":
			return at + "0." + m[4]
		case "bn1":
			return at + "1." + m[4]
		}
		return ""
	}
	expands, excites := has(in+"conv_pwl.weight"), has(in+"se.conv_reduce.weight")
	order := []string{"conv_dw", "bn1", "conv_pw", "bn2"}
	if expands {
		order = []string{"conv_pw", "bn1", "conv_dw", "bn2", "conv_pwl", "bn3"}
	}
	project := len(order)/2 - 1
	if excites && m[3] == "se" {
		name := strings.NewReplacer("conv_reduce.", "fc1.", "conv_expand.", "fc2.").Replace(m[4])
		return fmt.Sprintf("%sblock.%d.%s", at, project, name)
	}
	for i, name := range order {
		if name != m[3] {
			continue
		}
		part := i / 2
		if excites && part == project {
			part++
		}
		return fmt.Sprintf("%sblock.%d.%d.%s", at, part, i%2, m[4])
	}
	return ""
}
