"""Fixtures of the light backbones: torchvision's EfficientNet and MobileNetV3; and ConvNeXt's.

generate.py calls them. Their weights are too many to store every gradient, so a
digest of each stands for it.
"""

import torch
from torchvision.models.convnext import CNBlock, CNBlockConfig, ConvNeXt
from torchvision.models.efficientnet import EfficientNet, _efficientnet_conf
from torchvision.models.mobilenetv3 import MobileNetV3, _mobilenet_v3_conf
from torchvision.ops import StochasticDepth

from fixtures import Pcg, digest, fill, formula, save


def efficientnet(depth, width=64, small=False, drop=0.0):
    """torchvision's EfficientNet without classifier, of width/64 times B0's channels."""
    conf, last = _efficientnet_conf("efficientnet_b0", width_mult=width / 64, depth_mult=depth)
    return headless(lambda: EfficientNet(conf, 0.0, stochastic_depth_prob=drop, last_channel=last), conf, small)


def mobilenet(width=64, small=False):
    """torchvision's MobileNetV3-Large without classifier, likewise."""
    conf, last = _mobilenet_v3_conf("mobilenet_v3_large", width_mult=width / 64)
    return headless(lambda: MobileNetV3(conf, last), conf, small)


def headless(build, conf, small):
    if small:  # no halving before the second stage
        conf[1].stride = 1
    net = build()
    if small:
        net.features[0][0].stride = (1, 1)
    net.classifier = torch.nn.Identity()
    return net


def convnext(blocks, first, width=64, small=False, drop=0.0):
    """torchvision's ConvNeXt without its linear layer, of width/64 times the channels."""
    c = [(first * width // 64) << i for i in range(4)]
    rows = [CNBlockConfig(a, b, n) for a, b, n in zip(c, [*c[1:], None], blocks)]
    net = ConvNeXt(rows, stochastic_depth_prob=drop)
    if small:
        net.features[0][0] = torch.nn.Conv2d(3, c[0], 3, 1, 1)
    net.classifier[2] = torch.nn.Identity()
    return net


def keyed_depth(net, seed):
    """Stochastic depth by Go's masks: of (seed, name, batches that the branch's last batch norm, or the block, has seen)."""

    def seen(block):
        if isinstance(block, CNBlock):
            block.seen = getattr(block, "seen", 0) + 1
            return block.seen
        return block.block[-1][1].num_batches_tracked.item()

    def drop(name, block, module):
        def forward(x):
            if not net.training or module.p == 0:
                return x
            r = Pcg(seed, f"{name} {seen(block)}")
            keep = torch.tensor([float(r.uniform() >= module.p) for _ in x])
            return x * (keep.to(x) / (1 - module.p)).view(-1, 1, 1, 1)

        return forward

    modules = dict(net.named_modules())
    for name, m in modules.items():
        if isinstance(m, StochasticDepth):
            m.forward = drop(name, modules[name.rpartition(".")[0]], m)


def light(name, net, batch, size, seed=0):
    """Forward in both modes, running statistics and every gradient."""
    out = {}
    fill(net, name + ".")
    keyed_depth(net, seed)
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
    for key, t in net.named_buffers():
        if "running" in key:
            out["buffer." + key] = digest(key, t)
    save(name, out, dict(batch=batch, size=size, full=False, which=0, seed=seed))
    return {k: v.abs().max().item() for k, v in out.items()}


def generate():
    light("efficientnet_b0_narrow", efficientnet(1, width=8, small=True, drop=0.2), 8, 32, seed=5)
    light("efficientnet_b0", efficientnet(1), 8, 64)
    light("efficientnet_b1", efficientnet(1.1), 8, 64)
    light("mobilenet_v3_large_narrow", mobilenet(width=8, small=True), 8, 32)
    light("mobilenet_v3_large", mobilenet(), 8, 64)
    light("convnext_tiny_narrow", convnext((3, 3, 9, 3), 96, width=8, small=True, drop=0.2), 4, 32, seed=5)
    light("convnext_tiny", convnext((3, 3, 9, 3), 96), 4, 64)


if __name__ == "__main__":
    generate()
