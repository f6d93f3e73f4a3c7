#!/usr/bin/python3
"""Writes the parity fixtures: what PyTorch computes, for the Go tests to match.

    /usr/bin/python3 generate.py        # Debian's torch 1.13.1, torchvision 0.14.1

Weights and inputs are not stored: both sides make them by `fixtures.formula`, an
integer hash, so that a full ResNet-50 needs no megabytes. Stored are results, as
safetensors, and for large gradients a digest of each (see `digest`). References
are computed in float64 where that is the truth that both sides round from, and
are compared as max|a-b| / max|b|.
"""

import copy
import json
import math
import os

import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

import light
import vit
from fixtures import HERE, Pcg, digest, fill, formula, pixels, raw, save

torch.manual_seed(0)  # nothing kept depends on it
torch.set_num_threads(1)


# ---- equations ----------------------------------------------------------------


def relational(z1, z2, queue, tau_s, tau_t):
    """Equations 3, 4 and 5."""
    p1 = F.softmax(z1 @ queue.t() / tau_s, dim=1)
    p2 = F.softmax(z2 @ queue.t() / tau_t, dim=1)
    return p1, p2, -(p2 * torch.log(p1)).sum(1).mean()


def info_nce(z1, z2, queue, tau):
    """Equation 1, as MoCo writes it: cross-entropy with the positive in column 0."""
    logits = torch.cat([(z1 * z2).sum(1, keepdim=True), z1 @ queue.t()], 1) / tau
    return F.cross_entropy(logits, torch.zeros(len(z1), dtype=torch.long))


def objective():
    out, b, d, k = {}, 8, 16, 40
    alpha, tau_s, tau_t, tau = 0.3, 0.1, 0.04, 0.2
    student = formula("student", b, d).double().requires_grad_()
    teacher = F.normalize(formula("teacher", b, d).double())
    queue = F.normalize(formula("queue", k, d).double())

    def grad(loss):
        (g,) = torch.autograd.grad(loss, student, retain_graph=True)
        return g

    z1 = F.normalize(student)
    p1, p2, rel = relational(z1, teacher, queue, tau_s, tau_t)
    nce = info_nce(z1, teacher, queue, tau)
    total = alpha * rel + (1 - alpha) * nce
    out.update(z1=z1, p1=p1, p2=p2)
    for name, loss in dict(relation=rel, infonce=nce, total=total).items():
        out[name], out[name + ".grad"] = loss, grad(loss)
    save("objective", out, dict(B=b, D=d, K=k, alpha=alpha, tau_s=tau_s, tau_t=tau_t, tau=tau))


def queue_wrap():
    k, d, b = 10, 4, 4
    queue, ptr, out = formula("queue", k, d), 0, {}
    for step in range(6):
        for row in formula(f"keys {step}", b, d):
            queue[ptr] = row
            ptr = (ptr + 1) % k
        out[f"queue.{step}"], out[f"pointer.{step}"] = queue.clone(), torch.tensor(ptr)
    # More keys than rows: the last K stay.
    for row in formula("flood", 2 * k + 3, d):
        queue[ptr] = row
        ptr = (ptr + 1) % k
    out["queue.flood"], out["pointer.flood"] = queue, torch.tensor(ptr)
    save("queue", out, dict(K=k, D=d, B=b))


def ema():
    """Equation 6 with constant m, and with BYOL's cosine from 0.9 to 1."""
    out = {}
    for prefix, m in (("", lambda step: 0.9), ("cosine.", lambda step: 1 - 0.1 * (math.cos(math.pi * step / 5) + 1) / 2)):
        out.update({prefix + k: v for k, v in averaged(m).items()})
    save("ema", out)


def averaged(m):
    t = [formula("ema teacher 0", 7, 3).double(), formula("ema teacher 1", 5).double()]
    for step in range(5):
        s = [formula(f"ema student 0 {step}", 7, 3).double(), formula(f"ema student 1 {step}", 5).double()]
        t = [m(step) * a + (1 - m(step)) * b for a, b in zip(t, s)]
    return {"0": t[0], "1": t[1]}


# ---- ResNet ----------------------------------------------------------------------


class Narrow(ResNet):
    """torchvision's ResNet of another width and stem, without fc."""

    def __init__(self, block, layers, width=64, small=False, inside=64):
        torch.nn.Module.__init__(self)
        self._norm_layer = torch.nn.BatchNorm2d
        self.inplanes, self.dilation, self.groups, self.base_width = width, 1, 1, inside
        if small:
            self.conv1 = torch.nn.Conv2d(3, width, 3, 1, 1, bias=False)
        else:
            self.conv1 = torch.nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = torch.nn.BatchNorm2d(width)
        self.relu = torch.nn.ReLU(inplace=True)
        self.maxpool = torch.nn.Identity() if small else torch.nn.MaxPool2d(3, 2, 1)
        self.layer1 = self._make_layer(block, width, layers[0])
        self.layer2 = self._make_layer(block, 2 * width, layers[1], stride=2)
        self.layer3 = self._make_layer(block, 4 * width, layers[2], stride=2)
        self.layer4 = self._make_layer(block, 8 * width, layers[3], stride=2)
        self.avgpool = torch.nn.AdaptiveAvgPool2d((1, 1))
        self.fc = torch.nn.Identity()


def resnet(name, net, batch, size, full):
    """Forward in both modes, running statistics and every gradient."""
    out = {}
    fill(net, name + ".")
    net.double()
    which = wide_margin(net, (image(name, i, batch, size) for i in range(200))) if full else 0
    x = image(name, which, batch, size)
    net.eval()
    out["eval"] = net(x)
    net.train()
    h = net(x)
    out["train"] = h
    (h * formula(name + " weight of loss", *h.shape).double()).sum().backward()
    for key, p in net.named_parameters():
        out["grad." + key] = p.grad if full else digest(key, p.grad)
    for key, t in net.named_buffers():
        if "running" in key:
            out["buffer." + key] = t if full else digest(key, t)
    save(name, out, dict(batch=batch, size=size, full=full, which=which))


def image(name, which, batch, size):
    return formula(f"{name} input {which}", batch, 3, size, size, scale=2.0).double()


def wide_margin(net, inputs):
    """The index of the input whose least |x| before a ReLU is greatest. Where a ReLU's
    input is within rounding of zero, two correct fp32 programs take different sides,
    and their gradients differ by far more than rounding; this input has none such."""
    net = copy.deepcopy(net)  # the search moves running statistics
    least, best = [], (0.0, 0)
    for m in net.modules():
        if isinstance(m, torch.nn.ReLU):
            m.register_forward_pre_hook(lambda m, x: least.append(x[0].abs().min().item()))
    for which, x in enumerate(inputs):
        least.clear()
        with torch.no_grad():
            net(x)
        best = max(best, (min(least), which))
    MARGINS.append(best[0])
    return best[1]


MARGINS = []


def keys():
    """torchvision's own state dicts: names, order and shapes."""
    out = {}
    for name in (
        *("resnet18", "resnet34", "resnet50", "wide_resnet50_2", "efficientnet_b0", "efficientnet_b1", "mobilenet_v3_large"),
        *("convnext_tiny", "convnext_small", "convnext_base"),
    ):
        sd = getattr(torchvision.models, name)().state_dict()
        own = "classifier.0." if name.startswith("convnext") else "none"  # the layer norm of the averages
        out[name] = [[k, list(v.shape)] for k, v in sd.items() if not k.startswith(("fc.", "classifier.")) or k.startswith(own)]
    for name, heads in (("vit_tiny", 3), ("vit_small", 6), ("vit_base", 12)):
        sd = vit.transformer(heads, 16, image=256).state_dict()
        out[name + "_patch16"] = [[k, list(v.shape)] for k, v in sd.items()]
    with open(os.path.join(HERE, "torchvision_keys.json"), "w") as f:
        json.dump(out, f, separators=(",", ":"))


# ---- optimisers --------------------------------------------------------------------


class Lars(torch.optim.Optimizer):
    """LARS as in the code of Barlow Twins and MoCo v3, η 0.001."""

    def __init__(self, params, lr, momentum, weight_decay, eta=0.001):
        super().__init__(params, dict(lr=lr, momentum=momentum, weight_decay=weight_decay, eta=eta))

    @torch.no_grad()
    def step(self):
        for g in self.param_groups:
            for p in g["params"]:
                dp = p.grad
                if p.ndim > 1:
                    dp = dp.add(p, alpha=g["weight_decay"])
                    pn, un = torch.norm(p), torch.norm(dp)
                    one = torch.ones_like(pn)
                    dp = dp.mul(torch.where(pn > 0, torch.where(un > 0, g["eta"] * pn / un, one), one))
                state = self.state[p]
                mu = state.setdefault("mu", torch.zeros_like(p))
                mu.mul_(g["momentum"]).add_(dp)
                p.add_(mu, alpha=-g["lr"])


def head(i, h, o):
    return torch.nn.Sequential(torch.nn.Linear(i, h), torch.nn.BatchNorm1d(h), torch.nn.ReLU(), torch.nn.Linear(h, o))


def decayed_apart(params, decay):
    """Weight decay for matrices and kernels, none for batch norm's parameters and biases."""
    params = list(params)
    return [
        dict(params=[p for p in params if p.ndim > 1], weight_decay=decay),
        dict(params=[p for p in params if p.ndim == 1], weight_decay=0),
    ]


def optimizers():
    lr = torch.optim.lr_scheduler
    schedules = dict(
        warmup_cosine=lambda opt: lr.SequentialLR(opt, [lr.LinearLR(opt, 1 / 3, 1, 2), lr.CosineAnnealingLR(opt, 7)], [3]),
        steps=lambda opt: lr.MultiStepLR(opt, [4, 7], 0.1),
    )
    schedules["adamw"] = schedules["warmup_cosine"]
    clips = dict(clipped=0.05, adamw_matrices=0.1)
    out, make = (
        {},
        dict(
            warmup_cosine=lambda p: torch.optim.SGD(p, 0.2, momentum=0.9),
            steps=lambda p: torch.optim.SGD(p, 0.2, momentum=0.9),
            sgd=lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, weight_decay=5e-4),
            plain=lambda p: torch.optim.SGD(p, 0.1),
            nesterov=lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, weight_decay=5e-4, nesterov=True),
            clipped=lambda p: torch.optim.SGD(p, 0.1, momentum=0.9),
            adamw=lambda p: torch.optim.AdamW(p, 0.02, weight_decay=0.05, eps=1e-3),
            adamw_matrices=lambda p: torch.optim.AdamW(decayed_apart(p, 0.3), 0.01, betas=(0.8, 0.95), eps=1e-3),
            lars=lambda p: Lars(p, 0.3, 0.9, 1e-4),
            matrices=lambda p: torch.optim.SGD(decayed_apart(p, 5e-2), 0.1, momentum=0.9),
        ),
    )
    for kind, new in make.items():
        net = head(12, 16, 8)
        fill(net, "optim ")
        net.double()
        opt = new(net.parameters())
        schedule = schedules.get(kind, lambda opt: None)(opt)
        losses = []
        for step in range(10):
            y = net(formula(f"optim input {step}", 32, 12).double())
            loss = ((y - formula(f"optim target {step}", 32, 8).double()) ** 2).mean()
            opt.zero_grad()
            loss.backward()
            if kind in clips:
                torch.nn.utils.clip_grad_norm_(net.parameters(), clips[kind])
            opt.step()
            if schedule:
                schedule.step()
            losses.append(loss.item())
        out[kind + ".losses"] = torch.tensor(losses)
        for key, p in net.named_parameters():
            out[f"{kind}.{key}"] = p
    save("optim", out)


# ---- whole steps -----------------------------------------------------------------------


class Learner:
    """A ReSSL learner on small images, in float64 unless told."""

    width, hidden, tau_s, tau_t, tau = 8, 32, 0.1, 0.04, 0.15
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)

    def __init__(self, predictor, d, k, b, optimizer, dtype=torch.float64):
        self.d, self.k, self.b, self.size, self.dtype = d, k, b, 12, dtype
        self.student, self.teacher = self.model(predictor), self.model(False)
        self.queue = F.normalize(formula("learner queue", k, d).double()).to(dtype)
        self.opt = optimizer(self.student.parameters())
        self.ptr = 0

    def model(self, predictor):
        outer = self

        class Model(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.backbone = Narrow(BasicBlock, (2, 2, 2, 2), outer.width, small=True)
                self.projector = head(8 * outer.width, outer.hidden, outer.d)
                if predictor:
                    self.predictor = head(outer.d, outer.hidden, outer.d)

            def forward(self, x):
                z = self.projector(self.backbone(x))
                return F.normalize(self.predictor(z) if hasattr(self, "predictor") else z)

        net = Model()
        fill(net, "")
        return net.to(self.dtype)

    def pixels(self, name):
        return pixels(name, self.b, self.size)

    def normalise(self, u8):
        three = lambda v: torch.tensor(v, dtype=self.dtype).view(1, 3, 1, 1)
        return (u8.permute(0, 3, 1, 2).to(self.dtype) / 255 - three(self.mean)) / three(self.std)

    def step(self, weak, strong, alpha, lr, m):
        """One step on normalised views; strong yields them. Gives loss, relation, InfoNCE."""
        for g in self.opt.param_groups:
            g["lr"] = lr
        with torch.no_grad():
            z2 = self.teacher(weak)
        rels, nces = [], []
        for x in strong:
            z1 = self.student(x)
            rels.append(relational(z1, z2, self.queue, self.tau_s, self.tau_t)[2])
            nces.append(info_nce(z1, z2, self.queue, self.tau))
        rel, nce = sum(rels) / len(rels), sum(nces) / len(nces)
        loss = alpha * rel + (1 - alpha) * nce
        self.opt.zero_grad()
        loss.backward()
        self.opt.step()
        with torch.no_grad():
            mine = dict(self.student.named_parameters())
            for key, p in self.teacher.named_parameters():
                p.mul_(m).add_(mine[key], alpha=1 - m)
            for row in z2:
                self.queue[self.ptr] = row
                self.ptr = (self.ptr + 1) % self.k
        return loss.item(), rel.item(), nce.item()

    def meta(self, **more):
        return dict(
            width=self.width,
            hidden=self.hidden,
            D=self.d,
            K=self.k,
            B=self.b,
            S=self.size,
            tau_s=self.tau_s,
            tau_t=self.tau_t,
            tau=self.tau,
            mean=self.mean,
            std=self.std,
            **more,
        )


def learner(name, predictor, views, optimizer, rate, inputs=40):
    """Ten whole steps. At a full rate the first steps of a small batch are chaotic:
    rounding grows tenfold a step. So fp32 is compared at the rate of a warm-up's
    beginning, and a full rate in float64."""
    l = Learner(predictor, 16, 44, 16, optimizer)
    losses, parts, chosen = [], [], []
    for step in range(10):

        def strong():
            for v in range(views):
                x = lambda i: l.normalise(l.pixels(f"strong {step} {v} {i}"))
                chosen.append(wide_margin(l.student, (x(i) for i in range(inputs))))
                yield x(chosen[-1])

        loss, *terms = l.step(l.normalise(l.pixels(f"weak {step}")), strong(), min(1, step / 6), rate * (1 - step / 20), 0.9 + 0.01 * step)
        losses.append(loss)
        parts.append(terms)
    out = {"losses": torch.tensor(losses), "parts": torch.tensor(parts), "queue": l.queue, "pointer": torch.tensor(l.ptr)}
    for who, net in (("student", l.student), ("teacher", l.teacher)):
        for key, t in net.state_dict().items():
            out[f"{who}.{key}"] = t if t.dtype == torch.int64 else digest(key, t)
    save(name, out, l.meta(views=views, predictor=predictor, rate=rate, chosen=chosen))


def curve():
    """The losses of 200 steps at a full rate, where rounding has long decided the
    single bits: in float64, and in fp32 from weights nudged by rounding's size, whose
    spread is what `within noise` means. The strong view is the weak one, faded, under
    noise, so that there is something to learn."""
    steps, rate, m, runs = 200, 0.02, 0.98, {}
    for run, (dtype, nudge) in {
        "float64": (torch.float64, 0),
        "fp32 0": (torch.float32, 0),
        "fp32 1": (torch.float32, 1e-7),
        "fp32 2": (torch.float32, -1e-7),
        "fp32 3": (torch.float32, 3e-7),
    }.items():
        l = Learner(True, 16, 256, 32, lambda p: torch.optim.SGD(p, 0, momentum=0.9, weight_decay=5e-4), dtype)
        with torch.no_grad():
            for p in l.student.parameters():
                p.mul_(1 + nudge)
        losses = []
        for step in range(steps):
            weak, noise = l.pixels(f"curve {step % 25}"), l.pixels(f"curve noise {step}")
            losses.append(l.step(l.normalise(weak), [l.normalise(weak // 4 * 3 + noise // 4)], min(1, step / 40), rate, m)[0])
        runs[run] = torch.tensor(losses)
    save("curve", runs, l.meta(steps=steps, rate=rate, m=m, views=1, predictor=True))


# ---- evaluation and initial weights, in numpy alone ---------------------------------------


def initial():
    out = {}
    r = Pcg(7, "stream")
    out["uniform"] = np.array([r.uniform() for _ in range(64)])
    r = Pcg(7, "stream")
    out["normal"] = np.array([r.normal() for _ in range(64)])
    out["permutation"] = np.array(Pcg(7, "stream").permutation(33))
    r, rows = Pcg(3, "queue"), []
    for _ in range(6):
        v = np.array([r.normal() for _ in range(5)])
        rows.append(v / math.sqrt((v * v).sum()))
    out["queue"] = np.stack(rows)
    r = Pcg(11, "layer1.0.conv1.weight")
    out["conv"] = np.array([math.sqrt(2 / (8 * 9)) * r.normal() for _ in range(8 * 8 * 9)]).reshape(8, 8, 3, 3)
    r = Pcg(11, "projector.0.weight")
    out["linear"] = np.array([(2 * r.uniform() - 1) / math.sqrt(10) for _ in range(60)]).reshape(6, 10)
    save("initial", out)


def evaluation():
    classes, d, n, m = 7, 12, 700, 210
    centre = formula("eval centre", classes, d).double().numpy()

    def features(name, count):
        label = (raw(name + " label", count) % np.uint64(classes)).astype(np.int64)
        return centre[label] + formula(name, count, d, scale=1.5).double().numpy(), label

    x, y = features("eval train", n)
    q, t = features("eval test", m)
    x, q = x.astype(np.float32).astype(np.float64), q.astype(np.float32).astype(np.float64)
    out, meta = {"train.labels": y, "test.labels": t, "train": x, "test": q}, dict(classes=classes)

    unit = lambda a: a / np.linalg.norm(a, axis=1, keepdims=True)
    cos = unit(q) @ unit(x).T
    order = np.argsort(-cos, axis=1, kind="stable")
    for k in (1, 20, 200, 5000):
        right = 0
        for i in range(m):
            votes = np.zeros(classes)
            for j in order[i, :k]:
                votes[y[j]] += math.exp(cos[i, j] / 0.1)
            right += votes.argmax() == t[i]
        meta[f"knn{k}"] = 100 * right / m

    epochs, batch, seed = 10, 64, 5
    r = Pcg(seed, "linear probe")
    w = np.array([0.01 * r.normal() for _ in range(classes * d)]).reshape(classes, d).astype(np.float32).astype(np.float64)
    b = np.zeros(classes)
    vw, vb, lr = np.zeros_like(w), np.zeros_like(b), 1.0
    for epoch in range(epochs):
        if epoch in (6, 8):
            lr *= 0.1
        perm = Pcg(seed, f"linear probe order {epoch}").permutation(n)
        for at in range(0, n, batch):
            idx = perm[at : at + batch]
            h, z = x[idx], x[idx] @ w.T + b
            p = np.exp(z - z.max(1, keepdims=True))
            p /= p.sum(1, keepdims=True)
            p[np.arange(len(idx)), y[idx]] -= 1
            p /= len(idx)
            vw, vb = 0.9 * vw + p.T @ h, 0.9 * vb + p.sum(0)
            w, b = w - lr * vw, b - lr * vb
    z = q @ w.T + b
    fitted = x @ w.T + b
    logp = fitted - np.log(np.exp(fitted - fitted.max(1, keepdims=True)).sum(1, keepdims=True)) - fitted.max(1, keepdims=True)
    top5 = np.argsort(-z, axis=1)[:, :5]
    meta.update(
        top1=100 * (z.argmax(1) == t).mean(),
        top5=100 * (top5 == t[:, None]).any(1).mean(),
        train_top1=100 * (fitted.argmax(1) == y).mean(),
        loss=-logp[np.arange(n), y].mean(),
        epochs=epochs,
        batch=batch,
        seed=seed,
    )
    save("eval", out, meta)


if __name__ == "__main__":
    objective()
    queue_wrap()
    ema()
    keys()
    resnet("resnet18_narrow", Narrow(BasicBlock, (2, 2, 2, 2), 8, small=True), 4, 16, full=True)
    resnet("resnet18", Narrow(BasicBlock, (2, 2, 2, 2)), 8, 64, full=False)
    resnet("resnet34", Narrow(BasicBlock, (3, 4, 6, 3)), 8, 64, full=False)
    resnet("resnet50", Narrow(Bottleneck, (3, 4, 6, 3)), 8, 64, full=False)
    resnet("wide_resnet50_2_narrow", Narrow(Bottleneck, (3, 4, 6, 3), 8, small=True, inside=128), 8, 16, full=False)
    light.generate()
    vit.generate()
    optimizers()
    sgd = lambda p: torch.optim.SGD(p, 0, momentum=0.9, weight_decay=5e-4)
    learner("learner_gentle", True, 2, sgd, 0.0002, inputs=400)  # of which fp32 is compared
    learner("learner", True, 1, sgd, 0.01)
    learner("learner_multi", True, 2, sgd, 0.01)
    learner("learner_no_predictor", False, 1, lambda p: Lars(p, 0, 0.9, 1e-6), 0.01)
    curve()
    initial()
    evaluation()
    print(f"least margin of a ReLU's input to zero: {min(MARGINS):.1e}")
