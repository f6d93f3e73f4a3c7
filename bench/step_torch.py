"""The step of `resslt bench step` in PyTorch: the peer of one comparison.

Same network, views, objective and optimiser: ResNet-18 (small or ImageNet stem),
projector and predictor 4096/256 with batch norm, EMA teacher, queue, relational loss
mixed with InfoNCE at alpha 0.5, SGD. Written as a careful user of PyTorch would:
channels_last, autocast, foreach updates, the batch on the device beforehand, no wait
for the device within a block; --compile puts torch.compile around each network with
its loss, --graphs with CUDA graphs (mode reduce-overhead). Prints one JSON object with
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
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--backbone", default="resnet18")
    p.add_argument("--width", type=int, default=64)
    p.add_argument("--stem", default="small")
    p.add_argument("--image-size", type=int, default=32)
    p.add_argument("--student-sizes", default="", help="sizes of the student's views, joined by commas; default: one of --image-size")
    p.add_argument("--batch", type=int, default=64)
    p.add_argument("--queue", type=int, default=4096)
    p.add_argument("--device", default="cpu")
    p.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    p.add_argument("--tf32", action="store_true")
    p.add_argument("--compile", action="store_true")
    p.add_argument("--graphs", action="store_true", help="of --compile: CUDA graphs")
    p.add_argument("--threads", type=int, default=0)
    p.add_argument("--steps", type=int, default=20, help="timed blocks")
    p.add_argument("--block", type=int, default=1, help="steps between two waits for the device")
    p.add_argument("--warmup", type=int, default=3)
    a = p.parse_args()
    if a.threads:
        torch.set_num_threads(a.threads)
    torch.manual_seed(0)
    dev = torch.device(a.device)
    cuda = dev.type == "cuda"
    if cuda:
        torch.backends.cudnn.benchmark = True
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = a.tf32

    f, features = backbone(a.backbone, a.width, a.stem)
    student = nn.Sequential(f, head(features, 4096, 256)).to(dev, memory_format=torch.channels_last)
    predictor = head(256, 4096, 256).to(dev)
    teacher = copy.deepcopy(student)
    for q in teacher.parameters():
        q.requires_grad = False
    queue = F.normalize(torch.randn(a.queue, 256, device=dev), dim=1)
    rows = torch.arange(a.batch, device=dev)
    pointer = 0
    params = list(student.parameters()) + list(predictor.parameters())
    averaged = list(student.parameters()), list(teacher.parameters())
    opt = torch.optim.SGD(params, lr=0.06 * a.batch / 256, momentum=0.9, weight_decay=5e-4, foreach=True)
    mean = torch.tensor([0.485, 0.456, 0.406], device=dev).view(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225], device=dev).view(1, 3, 1, 1)
    sizes = [a.image_size] + [int(s) for s in (a.student_sizes or str(a.image_size)).split(",")]
    views = [torch.randint(0, 256, (a.batch, s, s, 3), dtype=torch.uint8).to(dev) for s in sizes]
    half = torch.autocast(dev.type, torch.bfloat16, enabled=a.precision == "bf16")
    zeros = torch.zeros(a.batch, dtype=torch.long, device=dev)

    def images(x):
        return (x.permute(0, 3, 1, 2).float() / 255 - mean) / std

    def target(x, queue):
        with half:
            z = teacher(images(x))
        z2 = F.normalize(z.float(), dim=1)
        return z2, F.softmax(z2 @ queue.T / 0.04, dim=1)

    def objective(x, z2, p2, queue):
        with half:
            z = predictor(student(images(x)))
        z1 = F.normalize(z.float(), dim=1)
        sim1 = z1 @ queue.T
        relation = -(p2 * F.log_softmax(sim1 / 0.1, dim=1)).sum(1).mean()
        logits = torch.cat([(z1 * z2).sum(1, keepdim=True), sim1], dim=1) / 0.1
        return (0.5 * relation + 0.5 * F.cross_entropy(logits, zeros)) / (len(sizes) - 1)

    if a.compile:
        mode = "reduce-overhead" if a.graphs else None
        target, objective = torch.compile(target, mode=mode), torch.compile(objective, mode=mode)

    def step():
        nonlocal pointer
        if a.graphs:
            torch.compiler.cudagraph_mark_step_begin()
        with torch.no_grad():
            z2, p2 = target(views[0], queue)
            if a.graphs:  # the next graph may write over what this one gave
                z2, p2 = z2.clone(), p2.clone()
        opt.zero_grad(set_to_none=True)
        for v in views[1:]:
            objective(v, z2, p2, queue).backward()
        opt.step()
        with torch.no_grad():
            torch._foreach_mul_(averaged[1], 0.99)
            torch._foreach_add_(averaged[1], averaged[0], alpha=0.01)
            queue[(pointer + rows) % a.queue] = z2
            pointer = (pointer + a.batch) % a.queue

    def wait():
        if cuda:
            torch.cuda.synchronize()

    for _ in range(a.warmup):
        step()
    wait()
    times, used = [], time.process_time()
    for _ in range(a.steps):
        began = time.perf_counter()
        for _ in range(a.block):
            step()
        wait()
        times.append((time.perf_counter() - began) / a.block)
    used = time.process_time() - used
    median = statistics.median(times)
    print(
        json.dumps(
            {
                "images_per_second": a.batch / median,
                "ms_per_step": 1000 * median,
                "cpu_ms_per_step": 1000 * used / (a.steps * a.block),
                "steps": a.steps * a.block,
                "backbone": a.backbone,
                "width": a.width,
                "image_size": a.image_size,
                "batch_size": a.batch,
                "device": torch.cuda.get_device_name(dev) if cuda else "cpu",
                "threads": torch.get_num_threads(),
                "precision": a.precision,
                "compiled": a.compile,
                "graphs": a.graphs,
                "torch_version": torch.__version__,
            }
        )
    )


if __name__ == "__main__":
    main()
