# Written by `resslt export`: this file may be replaced.
"""The encoder beside this file, for PyTorch: needs torch, torchvision and Pillow.

    from load import features, load, transform

    net = load("WEIGHTS")                   # torchvision's network, in eval mode: (N, 3, S, S) to (N, D)
    images = transform("WEIGHTS")           # a PIL picture to (3, S, S), by the pixels that resslt itself takes
    x = features(net, images, ["a.jpg", "b.jpg"])

    python load.py a.jpg b.jpg              # prints them, a line for each picture

Any file of `resslt export` may be named: what its network is, and what its images are to be,
stands in its metadata. Images by another transform are other numbers to the network: without
the right size, crop, mean and std, its features are those of other pictures.
"""

import json
import os
import struct
import sys

import torch
from PIL import Image

HERE = os.path.dirname(os.path.abspath(__file__))
WEIGHTS = os.path.join(HERE, "WEIGHTS")


def read(path=WEIGHTS):
    """The tensors and the metadata of a safetensors file; safetensors.torch has the same."""
    with open(path, "rb") as f:
        header = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
        data = bytearray(f.read())
    meta = header.pop("__metadata__", {})
    kinds = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64}
    tensors = {}
    for name, t in header.items():
        count = torch.Size(t["shape"]).numel()
        tensors[name] = torch.frombuffer(data, dtype=kinds[t["dtype"]], offset=t["data_offsets"][0], count=count).reshape(t["shape"])
    return tensors, json.loads(meta["resslt"]), json.loads(meta["preprocess"])


def network(backbone, width=64, stem="imagenet"):
    """torchvision's network without its classifier; of width 64 and with ImageNet's stem the published one."""
    small = stem == "small"
    if "resnet" in backbone:
        return resnet(backbone, width, small)
    if backbone.startswith("convnext"):
        return convnext(backbone, width, small)
    halving = 1 if small else 2  # the small stem has none in the stem, nor in the block after the first
    if backbone.startswith("mobilenet"):
        net = mobilenet(width, halving)
    else:
        net = efficientnet(1.1 if backbone.endswith("b1") else 1.0, width, halving)
    net.features[0][0].stride = (halving, halving)
    net.classifier = torch.nn.Identity()
    return net


def transformer(info, tensors):
    """Whose positions are for one size of images, which its weights say."""
    from torchvision.models.vision_transformer import VisionTransformer

    channels, patch = tensors["class_token"].shape[2], tensors["conv_proj.weight"].shape[2]
    size = round((tensors["encoder.pos_embedding"].shape[1] - 1) ** 0.5) * patch
    scaled = "encoder.layers.encoder_layer_0.ls_1.gamma" in tensors
    if scaled or info.get("pool") == "mean" or size != info["image_size"]:
        raise ValueError("torchvision's VisionTransformer has no LayerScale, no mean and one image size: resslt export --format timm")
    heads = info.get("heads") or channels // info["width"]
    net = VisionTransformer(size, patch, 12, heads, channels, 4 * channels)
    net.heads = torch.nn.Identity()
    return net


def resnet(name, width, small):
    from torchvision.models import resnet as tv

    block, layers = {
        "resnet18": (tv.BasicBlock, [2, 2, 2, 2]),
        "resnet34": (tv.BasicBlock, [3, 4, 6, 3]),
        "resnet50": (tv.Bottleneck, [3, 4, 6, 3]),
        "wide_resnet50_2": (tv.Bottleneck, [3, 4, 6, 3]),
    }[name]

    class ResNet(tv.ResNet):
        def _make_layer(self, block, planes, *args, **kwargs):
            if planes == 64:
                self.inplanes = width  # behind the stem
            return super()._make_layer(block, planes * width // 64, *args, **kwargs)

    net = ResNet(block, layers, width_per_group=128 if name.startswith("wide") else 64)
    net.conv1 = torch.nn.Conv2d(3, width, 3, 1, 1, bias=False) if small else torch.nn.Conv2d(3, width, 7, 2, 3, bias=False)
    net.bn1 = torch.nn.BatchNorm2d(width)
    if small:
        net.maxpool = torch.nn.Identity()
    net.fc = torch.nn.Identity()
    return net


def convnext(name, width, small):
    from torchvision.models.convnext import CNBlockConfig, ConvNeXt

    first, third = {"convnext_tiny": (96, 9), "convnext_small": (96, 27), "convnext_base": (128, 27)}[name]
    c = [(max(1, first * width // 64)) << i for i in range(4)]
    net = ConvNeXt([CNBlockConfig(*row) for row in ((c[0], c[1], 3), (c[1], c[2], 3), (c[2], c[3], third), (c[3], None, 3))])
    if small:
        net.features[0][0] = torch.nn.Conv2d(3, c[0], 3, 1, 1)
    net.classifier[2] = torch.nn.Identity()  # behind the layer norm of the averages, which is the encoder's
    return net


def efficientnet(depth, width, halving):
    from torchvision.models.efficientnet import EfficientNet, MBConvConfig

    rows = [
        (1, 3, 1, 32, 16, 1),
        (6, 3, halving, 16, 24, 2),
        (6, 5, 2, 24, 40, 2),
        (6, 3, 2, 40, 80, 3),
        (6, 5, 1, 80, 112, 3),
        (6, 5, 2, 112, 192, 4),
        (6, 3, 1, 192, 320, 1),
    ]
    return EfficientNet([MBConvConfig(*row, width_mult=width / 64, depth_mult=depth) for row in rows], dropout=0.0)


def mobilenet(width, halving):
    from torchvision.models.mobilenetv3 import InvertedResidualConfig, MobileNetV3

    rows = [
        (16, 3, 16, 16, False, "RE", 1),
        (16, 3, 64, 24, False, "RE", halving),
        (24, 3, 72, 24, False, "RE", 1),
        (24, 5, 72, 40, True, "RE", 2),
        (40, 5, 120, 40, True, "RE", 1),
        (40, 5, 120, 40, True, "RE", 1),
        (40, 3, 240, 80, False, "HS", 2),
        (80, 3, 200, 80, False, "HS", 1),
        (80, 3, 184, 80, False, "HS", 1),
        (80, 3, 184, 80, False, "HS", 1),
        (80, 3, 480, 112, True, "HS", 1),
        (112, 3, 672, 112, True, "HS", 1),
        (112, 5, 672, 160, True, "HS", 2),
        (160, 5, 960, 160, True, "HS", 1),
        (160, 5, 960, 160, True, "HS", 1),
    ]
    return MobileNetV3([InvertedResidualConfig(*row, 1, width / 64) for row in rows], last_channel=8)


def load(path=WEIGHTS):
    """The network with the file's weights, each of which it has a place for."""
    tensors, info, _ = read(path)
    if info["backbone"].startswith("vit"):
        net = transformer(info, tensors)
    else:
        net = network(info["backbone"], info["width"], info["stem"])
    net.load_state_dict(tensors, strict=True)
    return net.eval()


def transform(path=WEIGHTS):
    """What `resslt embed` does to a picture: the central square, resized to S, normalised.

    preprocess.json has the same as torchvision's Resize, CenterCrop and Normalize, and as timm's
    data configuration; these round the crop in another way, which moves features a little.
    """
    _, info, p = read(path)
    size, mean, std = p["crop_size"], torch.tensor(info["mean"]), torch.tensor(info["std"])

    def apply(picture):
        picture = picture.convert("RGB")
        side = max(1, round(p["crop_pct"] * min(picture.size)))
        x, y = (n - side for n in picture.size)
        square = picture.crop((x // 2, y // 2, x // 2 + side, y // 2 + side)).resize((size, size), Image.Resampling.BILINEAR)
        pixels = torch.frombuffer(bytearray(square.tobytes()), dtype=torch.uint8).reshape(size, size, 3)
        return ((pixels / 255 - mean) / std).permute(2, 0, 1)

    return apply


@torch.inference_mode()
def features(net, images, paths, batch=64):
    """(N, D) of picture files; net and what comes out stay on net's device."""
    device = next(net.parameters()).device
    out = []
    for i in range(0, len(paths), batch):
        out.append(net(torch.stack([images(Image.open(p)) for p in paths[i : i + batch]]).to(device)))
    return torch.cat(out)


if __name__ == "__main__":
    for row in features(load(), transform(), sys.argv[1:]):
        print(" ".join(f"{v:.7g}" for v in row.tolist()))
