package foreign

import (
	"fmt"
	"regexp"
	"strings"
)

// timm's Vision Transformers, and those of DINO, MAE, MoCo v3 and DINOv2, which came from timm's,
// are torchvision's under other names:
//
//	timm                            torchvision
//	cls_token, pos_embed            class_token, encoder.pos_embedding
//	patch_embed.proj                conv_proj
//	blocks.N.norm1, norm2           encoder.layers.encoder_layer_N.ln_1, ln_2
//	blocks.N.attn.qkv.weight        ….self_attention.in_proj_weight
//	blocks.N.attn.proj              ….self_attention.out_proj
//	blocks.N.mlp.fc1, fc2           ….mlp.0, mlp.3
//	blocks.N.ls1.gamma, ls2.gamma   ….ls_1.gamma, ls_2.gamma (no name of torchvision's)
//	norm                            encoder.ln
//
// A checkpoint of DINOv2's training has its blocks in chunks, blocks.C.N.
var (
	vitPart = regexp.MustCompile(`^(class_token$|conv_proj\.|encoder\.(pos_embedding$|layers\.encoder_layer_\d+\.|ln\.))`)

	vitLayer     = regexp.MustCompile(`^encoder\.layers\.encoder_layer_(\d+)\.(.+)$`)
	timmVitBlock = regexp.MustCompile(`^blocks\.(?:\d+\.)?(\d+)\.(.+)$`)

	// vitAlters are keys of Vision Transformers whose features this build's have not.
	vitAlters = regexp.MustCompile(`^(blocks\.|register_tokens|reg_token|dist_token|norm_pre\.|fc_norm\.|attn_pool\.|rel_pos|rope|encoder\.layers\.)`)
)

// vitNames are the pairs outside blocks, and vitBlockNames those in a block.
var (
	vitNames = [][2]string{
		{"class_token", "cls_token"},
		{"encoder.pos_embedding", "pos_embed"},
		{"conv_proj.weight", "patch_embed.proj.weight"},
		{"conv_proj.bias", "patch_embed.proj.bias"},
		{"encoder.ln.weight", "norm.weight"},
		{"encoder.ln.bias", "norm.bias"},
	}
	vitBlockNames = [][2]string{
		{"ln_1.weight", "norm1.weight"},
		{"ln_1.bias", "norm1.bias"},
		{"self_attention.in_proj_weight", "attn.qkv.weight"},
		{"self_attention.in_proj_bias", "attn.qkv.bias"},
		{"self_attention.out_proj.weight", "attn.proj.weight"},
		{"self_attention.out_proj.bias", "attn.proj.bias"},
		{"ls_1.gamma", "ls1.gamma"},
		{"ln_2.weight", "norm2.weight"},
		{"ln_2.bias", "norm2.bias"},
		{"mlp.0.weight", "mlp.fc1.weight"},
		{"mlp.0.bias", "mlp.fc1.bias"},
		{"mlp.3.weight", "mlp.fc2.weight"},
		{"mlp.3.bias", "mlp.fc2.bias"},
		{"ls_2.gamma", "ls2.gamma"},
	}
)

// other is the partner of a name in pairs, of which it is the one at; "" where there is none.
func other(pairs [][2]string, name string, at int) string {
	for _, p := range pairs {
		if p[at] == name {
			return p[1-at]
		}
	}
	return ""
}

// vitToTimm is timm's name of a torchvision key, "" where there is none.
func vitToTimm(key string) string {
	if m := vitLayer.FindStringSubmatch(key); m != nil {
		if to := other(vitBlockNames, m[2], 0); to != "" {
			return fmt.Sprintf("blocks.%s.%s", m[1], to)
		}
		return ""
	}
	return other(vitNames, key, 0)
}

// vitFromTimm is torchvision's key of a timm one, "" for heads, decoders and mask tokens.
func vitFromTimm(key string, _ func(string) bool) string {
	if m := timmVitBlock.FindStringSubmatch(key); m != nil {
		if to := other(vitBlockNames, m[2], 1); to != "" {
			return fmt.Sprintf("encoder.layers.encoder_layer_%s.%s", m[1], to)
		}
		return ""
	}
	return other(vitNames, key, 1)
}

// linears are torchvision's names of the layers of a block's mlp before 0.14.
var linears = strings.NewReplacer(".mlp.linear_1.", ".mlp.0.", ".mlp.linear_2.", ".mlp.3.")

// vitSelf is torchvision's own key, in today's names.
func vitSelf(key string, _ func(string) bool) string {
	if key = linears.Replace(key); vitToTimm(key) != "" {
		return key
	}
	return ""
}

// guessTransformer names a Vision Transformer of published width by its shapes.
func guessTransformer(shape map[string][]int64, blocks int) Guess {
	g := Guess{Stem: "imagenet"}
	s := shape["conv_proj.weight"]
	if len(s) != 4 {
		return g
	}
	size := map[int64]string{192: "vit_tiny", 384: "vit_small", 768: "vit_base"}[s[0]]
	if size != "" && blocks == 12 {
		g.Backbone, g.Width = fmt.Sprintf("%s_patch%d", size, s[2]), 64
	}
	return g
}
