package foreign

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"resslt/schemas/errs"
	"resslt/schemas/errs/errstest"
	"resslt/train/safetensors"
)

// resnet18 are a few keys of a ResNet, enough to know it by.
var resnet18 = []string{"conv1.weight", "bn1.weight", "bn1.num_batches_tracked", "layer1.0.conv1.weight", "layer4.1.bn2.weight"}

func below(prefix string, keys ...string) (out []string) {
	if len(keys) == 0 {
		keys = resnet18
	}
	for _, k := range keys {
		out = append(out, prefix+k)
	}
	return out
}

// vitKeys are a few keys of a timm transformer, as many as resnet18 has, its blocks in a chunk.
func vitKeys(prefix, chunk string) []string {
	return below(prefix, "cls_token", "pos_embed", "patch_embed.proj.weight", "blocks."+chunk+"0.attn.qkv.weight", "norm.weight")
}

// TestLayouts: where the encoders of other projects' checkpoints are, by their keys as
// package pth gives them.
func TestLayouts(t *testing.T) {
	for name, c := range map[string]struct {
		names   []string
		student string // prefix
		teacher string // "-": none
		ema     string
	}{
		"official ReSSL": {
			slices.Concat(below("model.module.encoder_q.net."), below("model.module.encoder_k.net."), []string{"model.module.queue"}),
			"model.module.encoder_q.net.", "model.module.encoder_k.net.", "-",
		},
		"MoCo v1, v2": {
			slices.Concat(below("state_dict.module.encoder_q."), []string{"state_dict.module.encoder_q.fc.0.weight"}, below("state_dict.module.encoder_k.")),
			"state_dict.module.encoder_q.", "state_dict.module.encoder_k.", "-",
		},
		"MoCo v3":         {slices.Concat(below("state_dict.module.base_encoder."), below("state_dict.module.momentum_encoder.")), "state_dict.module.base_encoder.", "state_dict.module.momentum_encoder.", "-"},
		"SimSiam":         {slices.Concat(below("state_dict.module.encoder."), []string{"state_dict.module.predictor.0.weight"}), "state_dict.module.encoder.", "-", "-"},
		"SwAV":            {slices.Concat(below("module."), []string{"module.projection_head.0.weight", "module.prototypes.weight"}), "module.", "-", "-"},
		"DINO, whole":     {slices.Concat(below("student.module.backbone."), below("teacher.backbone.")), "student.module.backbone.", "teacher.backbone.", "-"},
		"DINO, backbone":  {below(""), "", "-", "-"},
		"BYOL":            {slices.Concat(below("state_dict.online_network.encoder."), below("state_dict.target_network.encoder.")), "state_dict.online_network.encoder.", "state_dict.target_network.encoder.", "-"},
		"BYOL, Lightly's": {slices.Concat(below("state_dict.backbone."), below("state_dict.backbone_momentum.")), "state_dict.backbone.", "state_dict.backbone_momentum.", "-"},
		"VICReg":          {slices.Concat(below("model.module.backbone."), []string{"model.module.projector.0.weight"}), "model.module.backbone.", "-", "-"},
		"Barlow Twins":    {slices.Concat(below("model.module.backbone."), []string{"model.module.bn.running_mean"}), "model.module.backbone.", "-", "-"},
		"MMSelfSup":       {slices.Concat(below("state_dict.backbone."), below("state_dict.target_generator.0.")), "state_dict.backbone.", "state_dict.target_generator.0.", "-"},
		"MMSelfSup, EMA":  {slices.Concat(below("state_dict.backbone."), below("ema_state_dict.module.backbone.")), "state_dict.backbone.", "ema_state_dict.module.backbone.", "ema_state_dict.module.backbone."},
		"timm":            {slices.Concat(below("state_dict."), below("state_dict_ema.")), "state_dict.", "state_dict_ema.", "state_dict_ema."},
		"solo-learn":      {slices.Concat(below("state_dict.backbone."), below("state_dict.momentum_backbone.")), "state_dict.backbone.", "state_dict.momentum_backbone.", "-"},
		"Lightning":       {below("state_dict.model.backbone."), "state_dict.model.backbone.", "-", "-"},
		"torch.compile":   {below("state_dict._orig_mod.backbone."), "state_dict._orig_mod.backbone.", "-", "-"},
		"DDP, compiled":   {below("model.module._orig_mod."), "model.module._orig_mod.", "-", "-"},
		"a teacher alone": {below("teacher.backbone."), "teacher.backbone.", "teacher.backbone.", "-"},
		"MAE, DINOv2": {
			slices.Concat(vitKeys("model.", ""), below("model.", "mask_token", "decoder_pos_embed", "decoder_blocks.0.attn.qkv.weight")),
			"model.", "-", "-",
		},
		"DINO, a transformer": {slices.Concat(vitKeys("student.module.backbone.", ""), vitKeys("teacher.backbone.", "")), "student.module.backbone.", "teacher.backbone.", "-"},
		"DINOv2, in chunks":   {slices.Concat(vitKeys("teacher.backbone.", "0."), below("teacher.", "dino_head.mlp.0.weight")), "teacher.backbone.", "teacher.backbone.", "-"},
		"three networks": {
			slices.Concat(below("student."), below("teacher."), below("model_ema.")),
			"student.", "teacher.", "model_ema.",
		},
	} {
		t.Run(name, func(t *testing.T) {
			all := find(c.names)
			for want, prefix := range map[Role]string{"": c.student, Teacher: c.teacher, EMA: c.ema} {
				var got []string
				for _, fit := range choose(all, want) {
					got = append(got, fit.prefix)
				}
				if prefix == "-" && len(got) > 0 || prefix != "-" && !slices.Equal(got, []string{prefix}) {
					t.Errorf("%q is %q, want %q", want, got, prefix)
				}
			}
			for _, fit := range all {
				if keys := fit.keys(c.names); len(keys) != len(resnet18) {
					t.Errorf("%q has %d keys", fit.prefix, len(keys))
				}
			}
		})
	}
}

// networks reads testdata/NAME.txt: keys and sizes, by who names them.
func networks(t *testing.T, name string) map[string]map[string]string {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out := map[string]map[string]string{"timm": {}, "torchvision": {}}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		who, rest, _ := strings.Cut(lines.Text(), " ")
		key, size, _ := strings.Cut(rest, " ")
		out[who][key] = size
	}
	return out
}

// TestTimm: every key of torchvision's networks has the name and the sizes that timm has, and
// comes back.
func TestTimm(t *testing.T) {
	for _, name := range []string{"efficientnet_b0", "efficientnet_b1", "mobilenetv3_large_100", "resnet50", "vit", "convnext"} {
		t.Run(name, func(t *testing.T) {
			n := networks(t, name)
			var keys, theirs []string
			for k := range n["torchvision"] {
				keys = append(keys, k)
			}
			names, err := Timm(keys)
			if err != nil {
				t.Fatal(err)
			}
			for k := range n["timm"] {
				theirs = append(theirs, "x."+k)
			}
			found := find(theirs)
			if len(found) != 1 {
				t.Fatalf("found %v", found)
			}
			back := found[0].keys(theirs)
			for k, size := range n["torchvision"] {
				if strings.HasSuffix(k, layerScale) {
					size = strings.TrimSuffix(size, "x1x1")
				}
				if got, ok := n["timm"][names[k]]; !ok || got != size {
					t.Errorf("%s %s is %q of %s in timm", k, size, names[k], got)
				}
				if b := back["x."+names[k]]; b != k {
					t.Errorf("%s comes back as %q", k, b)
				}
			}
			extra := len(n["timm"]) - len(n["torchvision"])
			if head := name == "mobilenetv3_large_100"; head && extra != 2 || !head && extra != 0 {
				t.Errorf("timm has %d keys more", extra)
			}
			if len(back) != len(n["torchvision"]) {
				t.Errorf("%d keys come back of %d", len(back), len(n["torchvision"]))
			}
		})
	}
	_, err := Timm([]string{"features.0.0.weight", "features.3.odd.weight"})
	errstest.Want(t, err, errs.ErrUnsupported, "features.3.odd.weight")
}

func file(t *testing.T, tensors ...safetensors.Tensor) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.safetensors")
	if err := safetensors.WriteFile(path, tensors, nil); err != nil {
		t.Fatal(err)
	}
	return path
}

// of are the tensors of a small ResNet below a prefix, of one number each.
func of(prefix string, v float32) (out []safetensors.Tensor) {
	for _, k := range resnet18 {
		out = append(out, safetensors.Tensor{Name: prefix + k, DType: safetensors.F32, Shape: []int64{1}, Data: binary.LittleEndian.AppendUint32(nil, math.Float32bits(v))})
	}
	return out
}

// TestChoice: which encoder is read where there are several, and what is said where that is
// not clear.
func TestChoice(t *testing.T) {
	two := file(t, append(of("a.", 1), of("b.", 2)...)...)
	same := file(t, append(of("a.", 1), of("b.", 1)...)...)
	pair := file(t, append(of("student.", 1), of("teacher.", 2)...)...)
	empty := func(names ...string) string {
		var ts []safetensors.Tensor
		for _, n := range names {
			ts = append(ts, safetensors.Tensor{Name: n, DType: safetensors.F32, Shape: []int64{0}})
		}
		return file(t, ts...)
	}
	swin := empty("module.backbone.layers.0.blocks.0.attn.qkv.weight", "head.weight")
	registers := empty(append(vitKeys("", ""), "register_tokens")...)
	swiglu := empty(append(vitKeys("", ""), "blocks.0.mlp.w12.weight")...)
	small := file(t, safetensors.Tensor{Name: "backbone.0.weight", DType: safetensors.F32, Shape: []int64{0}},
		safetensors.Tensor{Name: "backbone.2.0.conv1.weight", DType: safetensors.F32, Shape: []int64{0}})
	for name, c := range map[string]struct {
		path string
		want Want
		v    float32 // of its tensors; 0 where it is refused
		kind error
		says []string
	}{
		"copies":          {same, Want{}, 1, nil, nil},
		"by prefix":       {two, Want{Prefix: "b."}, 2, nil, nil},
		"without its dot": {two, Want{Prefix: "b"}, 2, nil, nil},
		"the student":     {pair, Want{}, 1, nil, nil},
		"the teacher":     {pair, Want{Role: Teacher}, 2, nil, nil},
		"two":             {two, Want{}, 0, errs.ErrUsage, []string{"several encoders", `--prefix, one of "a.", "b."`}},
		"no such prefix":  {two, Want{Prefix: "c."}, 0, errs.ErrNotFound, []string{`"c."`, `one of "a.", "b."`}},
		"no EMA":          {pair, Want{Role: EMA}, 0, errs.ErrNotFound, []string{"no ema", `"student.", "teacher."`}},
		"a Swin":          {swin, Want{}, 0, errs.ErrUnsupported, []string{"no ResNet", "among its 2 tensors", `"module.backbone.layers" (1)`, `"head" (1)`}},
		"registers":       {registers, Want{}, 0, errs.ErrUnsupported, []string{`"register_tokens"`}},
		"SwiGLU":          {swiglu, Want{}, 0, errs.ErrUnsupported, []string{`"blocks.0.mlp.w12.weight"`}},
		"without a ReLU":  {small, Want{}, 0, errs.ErrUnsupported, []string{"ReLU"}},
		"no tensors":      {file(t), Want{}, 0, errs.ErrUnsupported, []string{"without tensors"}},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := Read(c.path, c.want)
			if c.v == 0 {
				errstest.Want(t, err, c.kind, c.says...)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, x := range e.Tensors {
				if strings.HasSuffix(x.Name, "tracked") {
					if x.DType != safetensors.I64 || binary.LittleEndian.Uint64(x.Data) != uint64(c.v) {
						t.Errorf("%s is %s %v", x.Name, x.DType, x.Data)
					}
				} else if got := math.Float32frombits(binary.LittleEndian.Uint32(x.Data)); got != c.v || !slices.Contains(resnet18, x.Name) {
					t.Errorf("%s is %g, want %g", x.Name, got, c.v)
				}
			}
			if len(e.Tensors) != len(resnet18) {
				t.Errorf("%d tensors", len(e.Tensors))
			}
		})
	}
}

// TestGuess: the network is read from shapes, and from the project where these do not show it.
func TestGuess(t *testing.T) {
	shaped := func(name string, shape ...int64) safetensors.Tensor {
		n := int64(4)
		for _, s := range shape {
			n *= s
		}
		return safetensors.Tensor{Name: name, DType: safetensors.F32, Shape: shape, Data: make([]byte, n)}
	}
	vit := func(prefix string) string {
		all := []safetensors.Tensor{shaped(prefix+"cls_token", 1, 1, 384), shaped(prefix+"pos_embed", 1, 5, 384), shaped(prefix+"patch_embed.proj.weight", 384, 3, 16, 16), shaped(prefix+"head.0.weight", 2)}
		for i := range 12 {
			all = append(all, shaped(fmt.Sprintf("%sblocks.%d.norm1.weight", prefix, i), 384), shaped(fmt.Sprintf("%sblocks.%d.attn.qkv.weight", prefix, i), 3))
		}
		return file(t, all...)
	}
	resnet := func(stem, inside, kernel int64) string {
		all := []safetensors.Tensor{shaped("x.conv1.weight", stem, 3, kernel, kernel), shaped("x.bn1.weight", stem), shaped("x.layer1.0.conv3.weight", 1), shaped("x.fc.weight", 1)}
		for stage, n := range []int{3, 4, 6, 3} {
			for i := range n {
				all = append(all, shaped(fmt.Sprintf("x.layer%d.%d.conv1.weight", stage+1, i), inside))
			}
		}
		return file(t, all...)
	}
	convNeXt := func(first int64, third int) string {
		all := []safetensors.Tensor{shaped("model.stem.0.weight", first, 3, 4, 4), shaped("model.head.fc.weight", 1), shaped("model.head.norm.weight", 1), shaped("model.stages.0.blocks.0.conv_dw.weight", 1)}
		for stage, n := range []int{3, 3, third, 3} {
			for i := range n {
				all = append(all, shaped(fmt.Sprintf("model.stages.%d.blocks.%d.gamma", stage, i), first))
			}
		}
		return file(t, all...)
	}
	for _, c := range []struct {
		path    string
		want    Guess
		dropped string
	}{
		{vit("student.module.backbone."), Guess{Backbone: "vit_small_patch16", Width: 64, Stem: "imagenet"}, "student.module.backbone.head.0.weight"},
		{vit("state_dict.module.base_encoder."), Guess{Backbone: "vit_small_patch16", Width: 64, Stem: "imagenet", Heads: 12}, "state_dict.module.base_encoder.head.0.weight"},
		{resnet(64, 64, 7), Guess{Backbone: "resnet50", Width: 64, Stem: "imagenet"}, "x.fc.weight"},
		{resnet(64, 128, 7), Guess{Backbone: "wide_resnet50_2", Width: 64, Stem: "imagenet"}, "x.fc.weight"},
		{resnet(128, 128, 3), Guess{Backbone: "resnet50", Width: 128, Stem: "small"}, "x.fc.weight"}, // SimCLR's and SwAV's 2×
		{convNeXt(96, 9), Guess{Backbone: "convnext_tiny", Width: 64, Stem: "imagenet"}, "model.head.fc.weight"},
		{convNeXt(96, 27), Guess{Backbone: "convnext_small", Width: 64, Stem: "imagenet"}, "model.head.fc.weight"},
		{convNeXt(128, 27), Guess{Backbone: "convnext_base", Width: 64, Stem: "imagenet"}, "model.head.fc.weight"},
		{convNeXt(12, 9), Guess{Backbone: "convnext_tiny", Stem: "imagenet"}, "model.head.fc.weight"},
	} {
		e, err := Read(c.path, Want{})
		if err != nil {
			t.Errorf("%+v: %v", c.want, err)
			continue
		}
		if e.Guess != c.want || !slices.Equal(e.Dropped, []string{c.dropped}) || len(e.Unknown) > 0 {
			t.Errorf("it is %+v without %q, and %q unknown; want %+v", e.Guess, e.Dropped, e.Unknown, c.want)
		}
	}
}

// TestRest: what is left out of an encoder's neighbourhood is told apart from what nobody knows.
func TestRest(t *testing.T) {
	path := file(t, append(of("model.", 1), of("model.momentum_encoder.", 2)[0], safetensors.Tensor{Name: "model.queue_ptr", DType: safetensors.F32, Shape: []int64{0}},
		safetensors.Tensor{Name: "model.decoder_blocks.0.bias", DType: safetensors.F32, Shape: []int64{0}}, safetensors.Tensor{Name: "model.gate.bias", DType: safetensors.F32, Shape: []int64{0}},
		safetensors.Tensor{Name: "optimizer.lr", DType: safetensors.F32, Shape: []int64{0}})...)
	e, err := Read(path, Want{})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(e.Dropped, []string{"model.decoder_blocks.0.bias", "model.queue_ptr"}) || !slices.Equal(e.Unknown, []string{"model.gate.bias", "model.momentum_encoder.conv1.weight"}) {
		t.Errorf("dropped %q, unknown %q", e.Dropped, e.Unknown)
	}
	path = file(t, append(of("model.", 1), of("model.momentum_encoder.", 2)...)...)
	if e, err = Read(path, Want{}); err != nil || len(e.Dropped) != len(resnet18) || len(e.Unknown) > 0 {
		t.Errorf("%v: dropped %q, unknown %q", err, e.Dropped, e.Unknown)
	}
}

// TestWiden: numbers of every type become float32 as PyTorch's .float() has them.
func TestWiden(t *testing.T) {
	le := binary.LittleEndian
	for _, c := range []struct {
		dtype safetensors.DType
		data  []byte
		want  float32
	}{
		{safetensors.F16, le.AppendUint16(nil, 0x3c00), 1},
		{safetensors.F16, le.AppendUint16(nil, 0xc2fe), -3.49609375},
		{safetensors.F16, le.AppendUint16(nil, 0x0001), 5.9604645e-8},
		{safetensors.F16, le.AppendUint16(nil, 0x7bff), 65504},
		{safetensors.F16, le.AppendUint16(nil, 0xfc00), float32(math.Inf(-1))},
		{safetensors.BF16, le.AppendUint16(nil, 0x4049), 3.140625},
		{safetensors.F64, le.AppendUint64(nil, math.Float64bits(0.1)), 0.1},
		{safetensors.I64, le.AppendUint64(nil, math.MaxUint64), -1},
		{safetensors.I32, le.AppendUint32(nil, 7), 7},
	} {
		x := safetensors.Tensor{Name: "w", DType: c.dtype, Shape: []int64{1}, Data: c.data}
		if err := widen(&x); err != nil {
			t.Fatal(err)
		}
		if got := math.Float32frombits(le.Uint32(x.Data)); got != c.want || x.DType != safetensors.F32 {
			t.Errorf("%s %x is %g, want %g", c.dtype, c.data, got, c.want)
		}
	}
	err := widen(&safetensors.Tensor{Name: "w", DType: safetensors.Bool, Data: []byte{1}})
	errstest.Want(t, err, errs.ErrUnsupported, "BOOL")
}
