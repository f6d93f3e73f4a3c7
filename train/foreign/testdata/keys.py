"""keys.py DIR: the keys and sizes of timm's and torchvision's networks, as NAME.txt in DIR.

Made with timm 1.0.31 and torchvision 0.29.
"""

import os
import sys

import timm
import torchvision

for name, peer in {
    "efficientnet_b0": "efficientnet_b0",
    "efficientnet_b1": "efficientnet_b1",
    "mobilenetv3_large_100": "mobilenet_v3_large",
    "resnet50": "resnet50",
}.items():
    states = {"timm": timm.create_model(name, num_classes=0), "torchvision": getattr(torchvision.models, peer)()}
    with open(os.path.join(sys.argv[1], name + ".txt"), "w") as f:
        for who, net in states.items():
            for k, v in net.state_dict().items():
                if not k.startswith(("classifier", "fc.")):
                    f.write(f"{who} {k} {'x'.join(map(str, v.shape))}\n")
