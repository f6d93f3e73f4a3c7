"""References of the objectives with a bank of samples, and of those whose views are made on the
device, for objectives.py: loss and gradients by PyTorch, in the form of their authors' code."""

import torch
import torch.nn.functional as F

from fixtures import formula
from inputs import TAU, B, D, K, drawn, leaf, unit

# Of objectives with a bank: how many samples there are, and the batch's, one of them twice.
SAMPLES, IDS = 24, [3, 17, 5, 3, 0, 23, 11, 8]
BANK_MOMENTUM, NEGATIVES, PROXIMAL = 0.6, 10, 0.3
CLUSTERS, NEIGHBOURS = [5, 3], 9


def remembered(bank, z, momentum):
    """The bank after a step: of a sample's two rows the later one counts."""
    out = bank.clone()
    for i, row in zip(IDS, z):
        out[i] = F.normalize(momentum * bank[i] + (1 - momentum) * row, dim=0)
    return out


def partition():
    """Z of NPID: SAMPLES times the mean of exp(t/TAU) over the sphere, whose density by the
    cosine t is as (1 - t^2)^((D - 3)/2), by Simpson's rule."""
    t = torch.linspace(-1, 1, 200001, dtype=torch.float64)
    weights = torch.full_like(t, 2.0)
    weights[1::2] = 4.0
    weights[0] = weights[-1] = 1.0
    density = weights * (1 - t**2) ** ((D - 3) / 2)
    return SAMPLES * (density * torch.exp(t / TAU)).sum() / density.sum()


def nce_loss(v, bank):
    """lib/NCEAverage.py and lib/NCECriterion.py of zhirongw/lemniscate.pytorch, less its eps."""
    idx = torch.cat([torch.tensor(IDS)[:, None], drawn("noise", NEGATIVES, SAMPLES)], 1)
    out = torch.exp(torch.bmm(bank[idx], v[:, :, None])[:, :, 0] / TAU) / partition()
    noise = NEGATIVES / SAMPLES
    ln_pmt = torch.log(out[:, 0] / (out[:, 0] + noise))
    ln_pon = torch.log(noise / (out[:, 1:] + noise))
    return -(ln_pmt.sum() + ln_pon.sum()) / B


def npid(out):
    """NCE with the paper's proximal term, and the softmax over the bank (lib/LinearAverage.py)."""
    bank = unit("bank", SAMPLES)
    for key, loss_of in (("npid", nce_loss), ("npid all", lambda v, bank: F.cross_entropy(v @ bank.t() / TAU, torch.tensor(IDS)))):
        v0 = leaf("query")
        v = F.normalize(v0)
        loss = loss_of(v, bank) + PROXIMAL * ((v - bank[IDS]) ** 2).sum(1).mean()
        out[key + ".loss"] = loss
        (out[key + ".grad0"],) = torch.autograd.grad(loss, [v0])
        out[key + ".bank.after"] = remembered(bank, v.detach(), BANK_MOMENTUM)


def kmeans(x, name, k):
    """Lloyd's algorithm from the first k of an order of the samples."""
    c = x[formula("order " + name, SAMPLES).argsort()[:k]].clone()
    for _ in range(20):
        labels = torch.cdist(x, c).argmin(1)
        for j in range(k):
            if (labels == j).any():
                c[j] = x[labels == j].mean(0)
    return c, torch.cdist(x, c).argmin(1)


def pcl(out):
    """main_pcl.py, run_kmeans and train, with all prototypes for negatives."""
    import numpy as np

    q0, k, queue, bank = leaf("query"), unit("key", B), unit("queue", K), unit("bank", SAMPLES)
    q = F.normalize(q0)
    logits = torch.cat([(q * k).sum(1, keepdim=True), q @ queue.t()], 1) / TAU
    loss = F.cross_entropy(logits, torch.zeros(B, dtype=torch.long))
    loss_proto, all_labels = 0, []
    for i, n in enumerate(CLUSTERS):
        c, labels = kmeans(bank, f"prototypes{i}", n)
        all_labels.append(labels)
        density = np.zeros(n)
        dists = [((bank[labels == j] - c[j]) ** 2).sum(1).numpy() for j in range(n)]
        for j, dist in enumerate(dists):
            if len(dist) > 1:
                density[j] = (dist**0.5).mean() / np.log(len(dist) + 10)
        dmax = density.max()
        for j, dist in enumerate(dists):
            if len(dist) <= 1:
                density[j] = dmax
        density = density.clip(np.percentile(density, 10), np.percentile(density, 90))
        density = torch.from_numpy(TAU * density / density.mean())
        centroids = F.normalize(c)
        rows = []
        for v, sample in zip(q, IDS):
            pos = labels[sample].item()
            neg = [j for j in range(n) if j != pos]
            rows.append((v @ centroids[[pos, *neg]].t() / density[[pos, *neg]])[None])
        loss_proto = loss_proto + F.cross_entropy(torch.cat(rows), torch.zeros(B, dtype=torch.long)) / len(CLUSTERS)
        out[f"pcl-v2.prototypes{i}.after"], out[f"pcl-v2.concentration{i}.after"] = centroids, density[None]
    loss = loss + loss_proto
    out["pcl-v2.loss"] = loss
    (out["pcl-v2.grad0"],) = torch.autograd.grad(loss, [q0])
    out["pcl-v2.labels.after"] = torch.stack(all_labels).double()
    out["pcl-v2.bank.after"] = bank.clone()
    for i, row in zip(IDS, k):
        out["pcl-v2.bank.after"][i] = row


def localagg(out):
    """model/instance_model.py, get_LA_loss, a sample at a time with sets of neighbours."""
    v0, bank = leaf("query"), unit("bank", SAMPLES)
    v = F.normalize(v0)
    all_labels = [kmeans(bank, f"clustering {i}", n)[1] for i, n in enumerate(CLUSTERS)]
    losses = []
    for row, sample in zip(v, IDS):
        probs = torch.exp(row @ bank.t() / TAU)
        background = probs.argsort(descending=True)[:NEIGHBOURS].tolist()
        close = {j for labels in all_labels for j in range(SAMPLES) if labels[j] == labels[sample]}
        inside = [j for j in background if j in close]
        relative = probs[inside].sum() / probs[background].sum()
        losses.append(-torch.log(relative + 1e-7))
    loss = torch.stack(losses).mean()
    out["localagg.loss"] = loss
    (out["localagg.grad0"],) = torch.autograd.grad(loss, [v0])
    out["localagg.labels.after"] = torch.stack(all_labels).double()
    out["localagg.bank.after"] = remembered(bank, v.detach(), BANK_MOMENTUM)


def rotation(out):
    """Equations 1 and 2: rows of one image behind one another, by rotation."""
    logits = formula("turned", 4 * B, 4).double().requires_grad_()
    loss = F.cross_entropy(logits, torch.arange(4).repeat(B))
    out["rotation.loss"] = loss
    (out["rotation.grad0"],) = torch.autograd.grad(loss, [logits])


PRED_HIDDEN = 6


def relative_loc(out):
    """A pair of patches at a time: hidden layer and classifier on their concatenation."""
    nine = formula("nine", 9 * B, D).double().requires_grad_()
    pair = F.normalize(formula("pair", PRED_HIDDEN, 2 * D).double()).requires_grad_()
    place = F.normalize(formula("place", 8, PRED_HIDDEN).double()).requires_grad_()
    losses = []
    for image in nine.split(9):
        for label, cell in enumerate((0, 1, 2, 3, 5, 6, 7, 8)):
            scores = place @ F.relu(pair @ torch.cat([image[4], image[cell]]))
            losses.append(F.cross_entropy(scores[None], torch.tensor([label])))
    loss = torch.stack(losses).mean()
    out["relative-loc.loss"] = loss
    grads = torch.autograd.grad(loss, [nine, pair, place])
    for name, g in zip(("grad0", "pair.grad", "place.grad"), grads):
        out["relative-loc." + name] = g


def infomin(out):
    """pycontrast's InfoMin: memory/mem_moco.py, RGBMoCo.forward with q_jig, learning/contrast_trainer.py,
    (1 - beta) * losses[0] + beta * losses[1], and networks/util.py, JigsawHead from fc2 on."""
    q0, nine, k, queue = leaf("query"), formula("nine", 9 * B, D).double().requires_grad_(), unit("key", B), unit("queue", K)
    w = F.normalize(formula("jigsaw", D, 9 * D).double()).requires_grad_()
    bias = F.normalize(formula("jigsaw_bias", 1, D).double()).requires_grad_()

    def compute_logit(q):
        return torch.cat([(q * k).sum(1, keepdim=True), torch.mm(queue, q.t()).t()], dim=1) / TAU

    q_jig = F.normalize(F.linear(nine.view(B, -1), w, bias[0]))
    target = torch.zeros(B, dtype=torch.long)
    losses = [F.cross_entropy(compute_logit(q), target) for q in (F.normalize(q0), q_jig)]
    out["infomin.loss"] = loss = 0.5 * losses[0] + 0.5 * losses[1]
    grads = torch.autograd.grad(loss, [q0, nine, w, bias])
    for name, g in zip(("second0", "grad1", "jigsaw.grad", "jigsaw_bias.grad"), grads):
        out["infomin." + name] = g


def pirl(out):
    """Equations 4 to 6, a sample at a time; lambda is 1/2."""
    f0, nine, bank = leaf("view a"), formula("nine", 9 * B, D).double().requires_grad_(), unit("bank", SAMPLES)
    w = F.normalize(formula("jigsaw", D, 9 * D).double()).requires_grad_()
    noise = drawn("noise", NEGATIVES, SAMPLES)
    losses = []
    for i, patches in enumerate(nine.split(9)):
        for v in (F.normalize(w @ patches.flatten(), dim=0), F.normalize(f0[i], dim=0)):
            negatives = torch.exp(bank[noise[i]] @ v / TAU)
            positive = torch.exp(bank[IDS[i]] @ v / TAU)
            h = positive / (positive + negatives.sum())
            others = [torch.log(1 - n / (n + negatives.sum())) for n in negatives]
            losses.append(-torch.log(h) - sum(others))
    loss = torch.stack(losses).mean()
    out["pirl.loss"] = loss
    grads = torch.autograd.grad(loss, [f0, nine, w])
    for name, g in zip(("second0", "grad1", "jigsaw.grad"), grads):
        out["pirl." + name] = g
    out["pirl.bank.after"] = remembered(bank, F.normalize(f0).detach(), BANK_MOMENTUM)
