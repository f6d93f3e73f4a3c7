#!/usr/bin/python3
"""The Python half of weights_test.go.

weights.py make DIR    checkpoints of other projects' layouts, and the features that the
                       originals give
weights.py load DIR    features of torchvision's networks, filled from DIR/NAME.safetensors
"""

import argparse
import copy
import json
import os
import struct
import sys

import torch
import torchvision

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "parity"))
import light
import vit
from fixtures import fill, formula
from generate import BasicBlock, Bottleneck, Narrow

torch.set_num_threads(1)


def features(net, path, size=32):
    """What the net gives in fp32, and in float64 beside it: .f32 and .f64."""
    x = formula("weights input", 2, 3, size, size)
    with torch.no_grad():
        net.eval()(x).numpy().tofile(path)
        copy.deepcopy(net).double()(x.double()).numpy().tofile(path[:-2] + "64")


def under(prefix, net):
    return {prefix + k: v for k, v in net.state_dict().items()}


def junk(**shapes):
    return {k.replace("__", "."): torch.ones(s) for k, s in shapes.items()}


def make(folder):
    def save(name, net, checkpoint):
        path = os.path.join(folder, name)
        torch.save(checkpoint, path + ".pth")
        features(net, path + ".f32")

    def resnet(who, small=False):
        net = Narrow(BasicBlock, (2, 2, 2, 2), 8, small=small)
        fill(net, who + " ")
        return net

    q, k = resnet("student"), resnet("momentum")
    save(
        "ressl",
        q,
        {
            "epoch": 200,
            "optimizer": {},
            "model": {
                **under("module.encoder_q.net.", q),
                **junk(module__encoder_q__head__linear1__weight=(4, 64)),
                **under("module.encoder_k.net.", k),
                **junk(module__queue=(4, 8), module__queue_ptr=1),
            },
        },
    )
    save(
        "moco",
        q,
        {
            "epoch": 800,
            "arch": "resnet18",
            "state_dict": {
                **under("module.encoder_q.", q),
                **junk(module__encoder_q__fc__0__weight=(4, 64)),
                **under("module.encoder_k.", k),
                **junk(module__queue=(4, 8)),
            },
        },
    )
    save("torchvision", q, {**under("", q), **junk(fc__weight=(4, 64), fc__bias=4)})
    small, smallk = resnet("small student", True), resnet("small momentum", True)
    lightning = {"epoch": 999, "pytorch-lightning_version": "1.6", "hyper_parameters": {"method": "ressl"}, "optimizer_states": []}
    for name, student in (("solo-learn", "backbone."), ("solo-learn-old", "encoder.")):
        save(
            name,
            small,
            {
                **lightning,
                "state_dict": {
                    **under(student, small),
                    **junk(projector__0__weight=(4, 64), classifier__weight=(4, 64), queue=(2, 4, 8)),
                    **under("momentum_" + student, smallk),
                },
            },
        )
    save(
        "lightly",
        q,
        {
            **lightning,
            "state_dict": {**under("backbone.", q), **under("teacher_backbone.", k), **junk(projection_head__layers__0__weight=(4, 64))},
        },
    )
    for name, checkpoint in {
        "simsiam": {"state_dict": {**under("module.encoder.", q), **junk(module__predictor__0__weight=(4, 4))}},
        "mocov3": {"state_dict": {**under("module.base_encoder.", q), **under("module.momentum_encoder.", k)}},
        "swav": {**under("module.", q), **junk(module__projection_head__0__weight=(4, 4), module__prototypes__weight=(4, 4))},
        "dino": {"student": under("module.backbone.", q), "teacher": under("backbone.", k), "epoch": 3},
        "vicreg": {"model": {**under("module.backbone.", q), **junk(module__projector__0__weight=(4, 4))}, "epoch": 1},
        "byol": {"state_dict": {**under("backbone.", q), **under("backbone_momentum.", k), **under("projection_head_momentum.", k)}},
        "lightning": {**lightning, "state_dict": under("model.backbone.", q)},
        "compiled": {"state_dict": under("_orig_mod.backbone.", q)},
        "timm": {"state_dict": under("", q), "state_dict_ema": under("", k), "arch": "resnet18"},
        "dino-args": {
            "student": under("module.backbone.", q),
            "teacher": under("backbone.", k),
            "args": argparse.Namespace(lr=1),
            "epoch": 3,
        },
        "mmselfsup": {"state_dict": {**under("backbone.", q), **under("target_generator.0.", k)}, "meta": {"CLASSES": ("a",)}},
        "barlow": {"model": {**under("module.backbone.", q), **junk(module__bn__running_mean=4)}, "optimizer": {}},
        "ddp": {"model": {**under("module.", q), **junk(module__fc__weight=(4, 4))}},
    }.items():
        save(name, q, checkpoint)
    children = torch.nn.Sequential(*list(q.children())[:-1])
    save(
        "lightly-children",
        q,
        {**lightning, "state_dict": {**under("backbone.", children), **junk(projection_head__layers__0__weight=(4, 64))}},
    )
    for name, net in (("efficientnet", light.efficientnet(1, width=8)), ("mobilenet", light.mobilenet(width=8))):
        fill(net, name + " ")
        save(name, net, {**under("", net), **junk(classifier__1__weight=(4, 40))})
    wide = Narrow(Bottleneck, (3, 4, 6, 3), 8, small=True, inside=128)
    fill(wide, "wide ")
    save("wide", wide, {"state_dict": {**under("backbone.", wide), **junk(projector__0__weight=(4, 256))}})
    convnexts(save)
    transformers(save)


def convnexts(save):
    """A narrow ConvNeXt as torchvision, timm and the paper's code name it."""
    net = light.convnext((3, 3, 9, 3), 96, width=8)
    fill(net, "convnext ")
    save("convnext-torchvision", net, {**net.state_dict(), **junk(classifier__2__weight=(4, 96), classifier__2__bias=4)})

    def renamed(stem, halving, block, parts, norm):
        out = {}
        for k, v in net.state_dict().items():
            at = k.split(".")
            if k.startswith("classifier.0."):
                out[f"{norm}.{at[2]}"] = v
                continue
            feature = int(at[1])
            if feature == 0:
                out[f"{stem}.{at[2]}.{at[3]}"] = v
            elif feature % 2 == 0:
                out[f"{halving.format(feature // 2)}.{at[2]}.{at[3]}"] = v
            elif at[3] == "layer_scale":
                out[f"{block.format(feature // 2, at[2])}.gamma"] = v.flatten()
            else:
                out[f"{block.format(feature // 2, at[2])}.{parts[at[4]]}.{at[5]}"] = v
        return out

    parts = {"0": "conv_dw", "2": "norm", "3": "mlp.fc1", "5": "mlp.fc2"}
    timm = renamed("stem", "stages.{}.downsample", "stages.{}.blocks.{}", parts, "head.norm")
    save("convnext-timm", net, {"state_dict": {**timm, **junk(head__fc__weight=(4, 96))}})
    parts = {"0": "dwconv", "2": "norm", "3": "pwconv1", "5": "pwconv2"}
    paper = renamed("downsample_layers.0", "downsample_layers.{}", "stages.{}.{}", parts, "norm")
    save("convnext-paper", net, {"model": {**paper, **junk(head__weight=(4, 96), head__bias=4)}})


def transformers(save):
    """The layouts of DINO, MAE, MoCo v3, DINOv2 and torchvision, of a narrow ViT."""
    net, scaled = (vit.transformer(3, 8, width=8, image=32) for _ in range(2))
    vit.scaled(scaled)
    fill(net, "vit ")
    fill(scaled, "vit scaled ")

    def timm(net, chunk=""):
        """The state dict under timm's names."""
        out = {}
        for k, v in net.state_dict().items():
            for theirs, ours in (
                ("class_token", "cls_token"),
                ("conv_proj", "patch_embed.proj"),
                ("encoder.pos_embedding", "pos_embed"),
                ("encoder.ln.", "norm."),
                ("encoder.layers.encoder_layer_", f"blocks.{chunk}"),
                ("ln_", "norm"),
                ("self_attention.in_proj_", "attn.qkv."),
                ("self_attention.out_proj", "attn.proj"),
                ("mlp.0.", "mlp.fc1."),
                ("mlp.3.", "mlp.fc2."),
                (".ls_", ".ls"),
            ):
                k = k.replace(theirs, ours)
            out[k] = v
        return out

    under = lambda prefix, state: {prefix + k: v for k, v in state.items()}
    heads = junk(head__mlp__0__weight=(4, 24))
    save("vit-dino", net, {"student": {**under("module.backbone.", timm(net)), **heads}, "teacher": under("backbone.", timm(scaled))})
    decoder = junk(mask_token=(1, 1, 8), decoder_pos_embed=(1, 17, 8), decoder_blocks__0__attn__qkv__weight=(24, 8), decoder_pred__bias=4)
    save("vit-mae", net, {"model": {**timm(net), **decoder}, "epoch": 799})
    save(
        "vit-dinov2",
        scaled,
        {"teacher": {**under("backbone.", {**timm(scaled, "0."), **junk(mask_token=(1, 24))}), **junk(dino_head__mlp__0__weight=(4, 24))}},
    )
    many = vit.transformer(6, 8, width=4, image=32)  # as many channels, in other heads
    fill(many, "vit heads ")
    heads = junk(module__base_encoder__head__0__weight=(4, 24))
    save("vit-mocov3", many, {"state_dict": {**under("module.base_encoder.", timm(many)), **heads}})
    save("vit-torchvision", net, {**net.state_dict(), **junk(heads__head__weight=(4, 24), heads__head__bias=4)})


def read(path):
    """A safetensors file as a state dict."""
    with open(path, "rb") as f:
        header = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
        data = bytearray(f.read())
    header.pop("__metadata__", None)
    kinds = {"F32": torch.float32, "I64": torch.int64}
    part = lambda t: dict(dtype=kinds[t["dtype"]], offset=t["data_offsets"][0], count=torch.Size(t["shape"]).numel())
    return {k: torch.frombuffer(data, **part(t)).reshape(t["shape"]) for k, t in header.items()}


def load(folder):
    names = ("resnet18", "resnet34", "resnet50", "wide_resnet50_2", "efficientnet_b0", "efficientnet_b1", "mobilenet_v3_large")
    nets = {name: getattr(torchvision.models, name)() for name in names}
    nets["vit_tiny_patch16"] = vit.transformer(3, 16, image=64)
    nets["convnext_tiny"] = torchvision.models.convnext_tiny()
    for name, net in nets.items():
        if name.startswith("convnext"):
            net.classifier[2] = torch.nn.Identity()
        else:
            setattr(net, next(last for last in ("fc", "classifier", "heads") if hasattr(net, last)), torch.nn.Identity())
        net.load_state_dict(read(os.path.join(folder, name + ".safetensors")), strict=True)
        features(net, os.path.join(folder, name + ".f32"), 64)


if __name__ == "__main__":
    dict(make=make, load=load)[sys.argv[1]](*sys.argv[2:])
