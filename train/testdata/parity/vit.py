"""Fixtures of the Vision Transformers: torchvision's, and what it has not.

generate.py calls them; alone, with any torchvision: python3 vit.py
"""

import types

import torch
import torch.nn.functional as F
from torchvision.models.vision_transformer import VisionTransformer

from fixtures import Pcg, digest, fill, formula, save


def transformer(heads, patch, width=64, image=64):
    """torchvision's network of 12 blocks without classifier: heads of width channels each."""
    channels = heads * width
    net = VisionTransformer(image_size=image, patch_size=patch, num_layers=12, num_heads=heads, hidden_dim=channels, mlp_dim=4 * channels)
    net.heads = torch.nn.Identity()
    return net


class Scale(torch.nn.Module):
    """LayerScale, as DINOv2 and timm have it."""

    def __init__(self, channels):
        super().__init__()
        self.gamma = torch.nn.Parameter(torch.ones(channels))

    def forward(self, x):
        return x * self.gamma


def scaled(net):
    """Multiplies every residual branch."""

    def forward(block, x):
        h = block.ln_1(x)
        x = x + block.ls_1(block.self_attention(h, h, h, need_weights=False)[0])
        return x + block.ls_2(block.mlp(block.ln_2(x)))

    for block in net.encoder.layers:
        channels = block.ln_1.normalized_shape[0]
        block.ls_1, block.ls_2 = Scale(channels), Scale(channels)
        block.forward = types.MethodType(forward, block)  # a method, which goes with a copy of the block


def dropping(net, p, seed):
    """Stochastic depth by Go's masks: of (seed, name, batches that the block has seen)."""

    def keep(block, name, x):
        if not net.training or block.p == 0:
            return x
        r = Pcg(seed, f"{name} {block.seen}")
        kept = torch.tensor([float(r.uniform() >= block.p) for _ in x])
        return x * (kept.to(x) / (1 - block.p)).view(-1, 1, 1)

    def wrap(i, block):
        at = f"encoder.layers.encoder_layer_{i}."
        block.p, block.seen = p * i / (len(net.encoder.layers) - 1), 0

        def forward(x):
            block.seen += net.training
            h = block.ln_1(x)
            x = x + keep(block, at + "drop_1", block.self_attention(h, h, h, need_weights=False)[0])
            return x + keep(block, at + "drop_2", block.mlp(block.ln_2(x)))

        block.forward = forward

    for i, block in enumerate(net.encoder.layers):
        wrap(i, block)


def resized(net, size):
    """The network for images of another size, and the mean of the patches' tokens."""
    side = size // net.patch_size

    def forward(x):
        h = net.conv_proj(x).flatten(2).transpose(1, 2)
        old = net.encoder.pos_embedding
        n = round((old.shape[1] - 1) ** 0.5)
        grid = old[:, 1:].reshape(1, n, n, -1).permute(0, 3, 1, 2)
        grid = F.interpolate(grid, size=(side, side), mode="bicubic", align_corners=False)
        at = torch.cat([old[:, :1], grid.permute(0, 2, 3, 1).flatten(1, 2)], 1)
        h = torch.cat([net.class_token.expand(len(x), -1, -1), h], 1) + at
        return net.encoder.ln(net.encoder.layers(h))[:, 1:].mean(1)

    net.forward = forward


def vit(name, net, batch, size, seed=0):
    """Forward in both modes and every gradient."""
    out = {}
    fill(net, name + ".")
    net.double()
    x = formula(f"{name} input 0", batch, 3, size, size, scale=2.0).double()
    net.eval()
    out["eval"] = net(x)
    net.train()
    h = net(x)
    out["train"] = h
    (h * formula(name + " weight of loss", *h.shape).double()).sum().backward()
    for key, p in net.named_parameters():
        out["grad." + key] = digest(key, p.grad)
    save(name, out, dict(batch=batch, size=size, full=False, which=0, seed=seed))


def generate():
    net = transformer(3, 8, width=8, image=32)
    dropping(net, 0.2, 5)
    vit("vit_tiny_narrow", net, 8, 32, seed=5)
    net = transformer(3, 8, width=8, image=32)
    scaled(net)
    resized(net, 48)
    vit("vit_tiny_resized", net, 4, 48)
    vit("vit_tiny", transformer(3, 16, image=64), 4, 64)


if __name__ == "__main__":
    generate()
