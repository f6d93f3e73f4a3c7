"""keys.py DIR: the keys and sizes of timm's and torchvision's networks, as NAME.txt in DIR.

Made with timm 1.0.31 and torchvision 0.29.
"""

import os
import sys

import timm
import torch
import torchvision
from timm.models.vision_transformer import VisionTransformer

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "testdata", "parity"))
import light
import vit


def write(name, **states):
    with open(os.path.join(sys.argv[1], name + ".txt"), "w") as f:
        for who, net in states.items():
            for k, v in net.state_dict().items():
                if not k.startswith(("classifier", "fc.")) or k.startswith("classifier.0.") and name == "convnext":
                    f.write(f"{who} {k} {'x'.join(map(str, v.shape))}\n")


for name, peer in {
    "efficientnet_b0": "efficientnet_b0",
    "efficientnet_b1": "efficientnet_b1",
    "mobilenetv3_large_100": "mobilenet_v3_large",
    "resnet50": "resnet50",
}.items():
    write(name, timm=timm.create_model(name, num_classes=0), torchvision=getattr(torchvision.models, peer)())

# Two blocks of a narrow transformer with LayerScale, for which torchvision has no name.
narrow = vit.VisionTransformer(image_size=32, patch_size=8, num_layers=2, num_heads=3, hidden_dim=24, mlp_dim=96)
narrow.heads = torch.nn.Identity()
vit.scaled(narrow)
write(
    "vit",
    timm=VisionTransformer(img_size=32, patch_size=8, embed_dim=24, depth=2, num_heads=3, num_classes=0, init_values=1.0),
    torchvision=narrow,
)

# One block of each stage of a narrow ConvNeXt.
net = light.convnext((1, 1, 1, 1), 96, width=8)
write("convnext", timm=timm.models.convnext.ConvNeXt(depths=(1, 1, 1, 1), dims=(12, 24, 48, 96), num_classes=0), torchvision=net)
