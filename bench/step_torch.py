"""The step of `resslt bench step` in PyTorch: the peer of one comparison.

Same network, views, objective and optimiser: ResNet-18 (small or ImageNet stem),
projector and predictor 4096/256 with batch norm, EMA teacher, queue of 4096,
relational loss mixed with InfoNCE at alpha 0.5, SGD. Prints one JSON object with
the fields of `resslt bench step --json`.
"""

import argparse
import copy
import json
import statistics
import time

import torch
import torch.nn.functional as F
import torchvision
from torch import nn


def backbone(name, width, stem):
    net = getattr(torchvision.models, name)(weights=None)
    if width != 64:
        block = type(net.layer1[0])
        layers = [len(getattr(net, f"layer{i}")) for i in (1, 2, 3, 4)]
        net = torchvision.models.ResNet(block, layers)
        net.inplanes = width
        net.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        net.bn1 = nn.BatchNorm2d(width)
        for i, n in enumerate(layers):
            setattr(net, f"layer{i + 1}", net._make_layer(block, width << i, n, stride=1 if i == 0 else 2))
        net.fc = nn.Linear((width << 3) * block.expansion, 1)
    features = net.fc.in_features
    if stem == "small":
        net.conv1 = nn.Conv2d(3, width, 3, 1, 1, bias=False)
        net.maxpool = nn.Identity()
    net.fc = nn.Identity()
    return net, features


def head(n_in, hidden, n_out):
    return nn.Sequential(nn.Linear(n_in, hidden), nn.BatchNorm1d(hidden), nn.ReLU(inplace=True), nn.Linear(hidden, n_out))


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--backbone", default="resnet18")
    p.add_argument("--width", type=int, default=64)
    p.add_argument("--stem", default="small")
    p.add_argument("--image-size", type=int, default=32)
    p.add_argument("--batch", type=int, default=64)
    p.add_argument("--device", default="cpu")
    p.add_argument("--threads", type=int, default=0)
    p.add_argument("--steps", type=int, default=20)
    p.add_argument("--warmup", type=int, default=3)
    a = p.parse_args()
    if a.threads:
        torch.set_num_threads(a.threads)
    torch.manual_seed(0)
    dev = torch.device(a.device)

    f, features = backbone(a.backbone, a.width, a.stem)
    student = nn.Sequential(f, head(features, 4096, 256)).to(dev)
    predictor = head(256, 4096, 256).to(dev)
    teacher = copy.deepcopy(student)
    for q in teacher.parameters():
        q.requires_grad = False
    queue = F.normalize(torch.randn(4096, 256, device=dev), dim=1)
    pointer = 0
    params = list(student.parameters()) + list(predictor.parameters())
    opt = torch.optim.SGD(params, lr=0.06 * a.batch / 256, momentum=0.9, weight_decay=5e-4)
    mean = torch.tensor([0.485, 0.456, 0.406], device=dev).view(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225], device=dev).view(1, 3, 1, 1)
    weak, strong = (torch.randint(0, 256, (a.batch, a.image_size, a.image_size, 3), dtype=torch.uint8) for _ in range(2))

    def images(x):
        return (x.to(dev).permute(0, 3, 1, 2).float() / 255 - mean) / std

    def step():
        nonlocal pointer
        with torch.no_grad():
            z2 = F.normalize(teacher(images(weak)), dim=1)
            sim2 = z2 @ queue.T
            p2 = F.softmax(sim2 / 0.04, dim=1)
        z1 = F.normalize(predictor(student(images(strong))), dim=1)
        sim1 = z1 @ queue.T
        relation = -(p2 * F.log_softmax(sim1 / 0.1, dim=1)).sum(1).mean()
        logits = torch.cat([(z1 * z2).sum(1, keepdim=True), sim1], dim=1) / 0.1
        nce = F.cross_entropy(logits, torch.zeros(a.batch, dtype=torch.long, device=dev))
        loss = 0.5 * relation + 0.5 * nce
        opt.zero_grad(set_to_none=True)
        loss.backward()
        opt.step()
        with torch.no_grad():
            ps, pt = list(student.parameters()), list(teacher.parameters())
            torch._foreach_mul_(pt, 0.99)
            torch._foreach_add_(pt, ps, alpha=0.01)
            idx = (pointer + torch.arange(a.batch, device=dev)) % queue.shape[0]
            queue[idx] = z2
            pointer = (pointer + a.batch) % queue.shape[0]
        if dev.type == "cuda":
            torch.cuda.synchronize()

    times = []
    for i in range(a.warmup + a.steps):
        began = time.perf_counter()
        step()
        if i >= a.warmup:
            times.append(time.perf_counter() - began)
    median = statistics.median(times)
    print(json.dumps({
        "images_per_second": a.batch / median, "ms_per_step": 1000 * median, "steps": a.steps,
        "backbone": a.backbone, "width": a.width, "image_size": a.image_size, "batch_size": a.batch,
        "device": a.device, "threads": torch.get_num_threads(), "precision": "fp32", "torch_version": torch.__version__,
    }))


if __name__ == "__main__":
    main()
