"""timm's networks as other projects' checkpoints: timm_forward.py DIR PICTURE…

Writes DIR/NAME.pth of networks with random weights, in the forms in which DINO, MoCo v3, timm and
ConvNeXt's code save theirs, and prints their features of the pictures as JSON, by NAME.
"""

import argparse
import json
import os
import sys

import numpy as np
import timm
import torch
from PIL import Image

folder, pictures = sys.argv[1], sys.argv[2:]
mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
x = np.stack([(np.asarray(Image.open(p).convert("RGB")) / 255 - mean) / std for p in pictures])
x = torch.from_numpy(x.transpose(0, 3, 1, 2)).float()
torch.manual_seed(5)


def network(name, **args):
    """Every weight random: those that begin as zeros or ones would hide a fault."""
    net = timm.create_model(name, num_classes=0, **args).eval()
    for k, v in net.state_dict().items():
        if v.is_floating_point() and v.dim() < 2:
            v.add_(torch.rand_like(v) / 4)
        elif k in ("cls_token", "pos_embed"):
            v.normal_(std=0.02)
    return net


def under(prefix, net):
    return {prefix + k: v for k, v in net.state_dict().items()}


features = {}


def save(name, net, checkpoint):
    torch.save(checkpoint, os.path.join(folder, name + ".pth"))
    with torch.no_grad():
        features[name] = net(x).flatten().tolist()


student, teacher = (network("vit_small_patch16_224") for _ in range(2))
head = {"module.head.mlp.0.weight": torch.zeros(4, 384), "module.head.last_layer.weight_g": torch.zeros(4, 1)}
dino = {
    "student": {**under("module.backbone.", student), **head},
    "teacher": {**under("backbone.", teacher), **{k.removeprefix("module."): v for k, v in head.items()}},
    "args": argparse.Namespace(arch="vit_small", patch_size=16),
    "epoch": 100,
}
save("dino", student, dino)
save("dino-teacher", teacher, under("", teacher))  # as DINO's backbone alone
many = network("vit_small_patch16_224", num_heads=12)
head = {"module.base_encoder.head.0.weight": torch.zeros(4, 384)}
save("moco-v3", many, {"state_dict": {**under("module.base_encoder.", many), **head}, "arch": "vit_small"})
wide, convnext = network("wide_resnet50_2"), network("convnext_tiny")
save("wide", wide, {"state_dict": under("", wide), "arch": "wide_resnet50_2"})
save("convnext", convnext, {"state_dict": {**under("", convnext), "head.fc.weight": torch.zeros(4, 768)}})
print(json.dumps(features))
