#!/usr/bin/python3
"""Writes objectives.safetensors: each objective's loss and gradients, by PyTorch.

    /usr/bin/python3 objectives.py        # Debian's torch 1.13.1

Each is written from its paper's pseudo-code or its authors' code, in their form
and not in ours: cross-entropy over a row of logits with the positive among them.
witness.py compares some of them with other projects' implementations.
"""

import torch
import torch.nn.functional as F

from banks import (
    BANK_MOMENTUM,
    CLUSTERS,
    IDS,
    NEGATIVES,
    NEIGHBOURS,
    PRED_HIDDEN,
    PROXIMAL,
    SAMPLES,
    infomin,
    localagg,
    npid,
    pcl,
    pirl,
    relative_loc,
    rotation,
)
from fixtures import formula, save
from grids import CONTEXT_BLOCKS, CONTEXT_HIDDEN, STEP_FROM, STEP_TO, cpc
from inputs import TAU, B, D, K, leaf, unit
from negatives import ADCO_TAU, FNC_THRESHOLD, FNC_TOP, MOCHI, adco, fnc, mochi, wcl
from students import (
    CLASSES,
    CONFIDENCE,
    CONSISTENCY,
    DISCO_WEIGHT,
    LABEL_FRACTION,
    LABELS,
    SHARPEN,
    SIDE,
    bingo,
    compress,
    disco,
    fixmatch,
    s4l,
    simdis,
    uda,
)


def moco(out):
    """moco/builder.py: logits [q·k, q·Q], the positive in column 0."""
    q0, k, queue = leaf("query"), unit("key", B), unit("queue", K)
    q = F.normalize(q0)
    l_pos = torch.einsum("nc,nc->n", [q, k]).unsqueeze(-1)
    l_neg = torch.einsum("nc,ck->nk", [q, queue.t()])
    logits = torch.cat([l_pos, l_neg], dim=1)
    loss = F.cross_entropy(logits / TAU, torch.zeros(B, dtype=torch.long))
    out.update({"moco-v2.loss": loss, "moco-v2.agreement": (logits.argmax(1) == 0).double().mean()})
    (out["moco-v2.grad0"],) = torch.autograd.grad(loss, [q0])


def simclr(out):
    """simclr/objective.py, add_contrastive_loss: both orders, each view against the
    other's rows and its own without itself."""
    a0, b0 = leaf("view a"), leaf("view b")
    a, b = F.normalize(a0), F.normalize(b0)
    labels, masks = torch.arange(B), torch.eye(B).double() * 1e9
    aa, bb = a @ a.t() / TAU - masks, b @ b.t() / TAU - masks
    ab, ba = a @ b.t() / TAU, b @ a.t() / TAU
    loss_a = F.cross_entropy(torch.cat([ab, aa], 1), labels)
    loss_b = F.cross_entropy(torch.cat([ba, bb], 1), labels)
    loss = (loss_a + loss_b) / 2  # SimCLR's equation 1 is the mean over 2N
    out.update({"simclr.loss": loss, "simclr.agreement": (ab.argmax(1) == labels).double().mean()})
    out["simclr.grad0"], out["simclr.grad1"] = torch.autograd.grad(loss, [a0, b0])


def byol(out):
    """byol/utils: regression_loss = ‖p̂ − ẑ‖², both directions added."""
    p0, p1 = leaf("view a"), leaf("view b")
    za, zb = formula("target a", B, D).double(), formula("target b", B, D).double()

    def regression_loss(x, y):
        return ((F.normalize(x) - F.normalize(y)) ** 2).sum(-1)

    loss = (regression_loss(p0, zb) + regression_loss(p1, za)).mean()
    out["byol.loss"] = loss
    out["byol.agreement"] = ((F.normalize(p0) @ F.normalize(zb).t()).argmax(1) == torch.arange(B)).double().mean() / 2 + (
        (F.normalize(p1) @ F.normalize(za).t()).argmax(1) == torch.arange(B)
    ).double().mean() / 2
    out["byol.grad0"], out["byol.grad1"] = torch.autograd.grad(loss, [p0, p1])


def simsiam(out):
    """simsiam/main_simsiam.py: -(cos(p1, z2).mean() + cos(p2, z1).mean()) / 2."""
    students, z = [leaf("view a"), leaf("view b"), leaf("local c"), leaf("local d")], [leaf("z a"), leaf("z b")]
    criterion = torch.nn.CosineSimilarity(dim=1)
    multi_crop(out, "simsiam", students, z, lambda p, z: -criterion(p, z.detach()).mean(), sums=1)


def nnclr(out):
    """Algorithm 1 of the paper."""
    students, z = [leaf("view a"), leaf("view b"), leaf("local c"), leaf("local d")], [leaf("z a"), leaf("z b")]
    queue = unit("queue", K)

    def nn(z):
        return queue[(F.normalize(z) @ queue.t()).argmax(1)].detach()

    def L(p, z):
        return F.cross_entropy(nn(z) @ F.normalize(p).t() / TAU, torch.arange(B))

    multi_crop(out, "nnclr", students, z, L, sums=1)


def moco_symmetric(out):
    """moco_cifar10_demo.ipynb, --symmetric: loss_12 + loss_21; here with two local crops,
    each a query of both keys, all comparisons counting alike."""
    queries = [leaf("view a"), leaf("view b"), leaf("local c"), leaf("local d")]
    keys, queue = [unit("target a", B), unit("target b", B)], unit("queue", K)

    def contrastive_loss(q, k):
        q = F.normalize(q)
        logits = torch.cat([(q * k).sum(1, keepdim=True), q @ queue.t()], 1) / TAU
        return F.cross_entropy(logits, torch.zeros(B, dtype=torch.long))

    multi_crop(out, "moco-v2-symmetric", queries, keys, contrastive_loss)


def multi_crop(out, name, students, targets, loss_of, sums=2):
    """Every student view against each global target but its own, for a pair and with local
    crops; a pair's loss is the sum of its two directions."""
    for crops in (2, len(students)):
        terms = [loss_of(s, t) for v, s in enumerate(students[:crops]) for i, t in enumerate(targets) if i != v]
        loss = sums * sum(terms) / len(terms)
        key = name if crops == 2 else name + " multi-crop"
        out[key + ".loss"] = loss
        for v, g in enumerate(torch.autograd.grad(loss, students[:crops])):
            out[f"{key}.grad{v}"] = g


def byol_multi_crop(out):
    """byol's regression_loss over all pairs of a student view and another global one."""
    students = [leaf("view a"), leaf("view b"), leaf("local c"), leaf("local d")]
    targets = [formula("target a", B, D).double(), formula("target b", B, D).double()]

    def regression_loss(x, y):
        return ((F.normalize(x) - F.normalize(y)) ** 2).sum(-1).mean()

    both = {}
    multi_crop(both, "byol", students, targets, regression_loss)
    out.update({k: v for k, v in both.items() if "multi-crop" in k})


def moco_v3(out):
    """moco/builder.py: contrastive_loss, labels are the batch's own rows, times 2τ."""

    def contrastive_loss(q, k):
        logits = torch.einsum("nc,mc->nm", [F.normalize(q, dim=1), F.normalize(k, dim=1)]) / TAU
        return F.cross_entropy(logits, torch.arange(B)) * (2 * TAU)

    students = [leaf("view a"), leaf("view b"), leaf("local c"), leaf("local d")]
    targets = [formula("target a", B, D).double(), formula("target b", B, D).double()]
    multi_crop(out, "moco-v3", students, targets, contrastive_loss)


LAMBDA = 0.005


def barlow(out):
    """main.py of facebookresearch/barlowtwins."""
    a, b = leaf("view a"), leaf("view b")
    bn = torch.nn.BatchNorm1d(D, affine=False).double()
    c = bn(a).T @ bn(b) / B
    on_diag = torch.diagonal(c).add(-1).pow(2).sum()
    off_diag = c.flatten()[:-1].view(D - 1, D + 1)[:, 1:].flatten().pow(2).sum()
    loss = on_diag + LAMBDA * off_diag
    out["barlow-twins.loss"] = loss
    out["barlow-twins.grad0"], out["barlow-twins.grad1"] = torch.autograd.grad(loss, [a, b])


VICREG = (25.0, 25.0, 1.0)


def vicreg(out):
    """main_vicreg.py of facebookresearch/vicreg."""
    a, b = leaf("view a"), leaf("view b")
    repr_loss = F.mse_loss(a, b)
    x, y = a - a.mean(dim=0), b - b.mean(dim=0)
    std_x, std_y = torch.sqrt(x.var(dim=0) + 0.0001), torch.sqrt(y.var(dim=0) + 0.0001)
    std_loss = torch.mean(F.relu(1 - std_x)) / 2 + torch.mean(F.relu(1 - std_y)) / 2

    def off_diagonal(c):
        return c.flatten()[:-1].view(D - 1, D + 1)[:, 1:].flatten()

    cov_x, cov_y = (x.T @ x) / (B - 1), (y.T @ y) / (B - 1)
    cov_loss = off_diagonal(cov_x).pow(2).sum().div(D) + off_diagonal(cov_y).pow(2).sum().div(D)
    loss = VICREG[0] * repr_loss + VICREG[1] * std_loss + VICREG[2] * cov_loss
    out["vicreg.loss"] = loss
    out["vicreg.grad0"], out["vicreg.grad1"] = torch.autograd.grad(loss, [a, b])


PROTOTYPES, TAU_S, TAU_T, TAU_T_START, RAMP, CENTRE_MOMENTUM = 20, 0.1, 0.07, 0.04, 0.4, 0.9


def dino(out):
    """main_dino.py, DINOLoss, with the head's last layer, which is weight-normed."""
    views = [leaf("view a"), leaf("view b"), leaf("local c"), leaf("local d")]
    targets = [unit("target a", B), unit("target b", B)]
    w0 = F.normalize(formula("prototypes", PROTOTYPES, D).double()).requires_grad_()
    w_teacher = F.normalize(formula("prototypes_teacher", PROTOTYPES, D).double())
    centre = formula("centre", 1, PROTOTYPES).double()
    temp = TAU_T_START + RAMP * (TAU_T - TAU_T_START)
    teacher_out = [t @ w_teacher.t() for t in targets]
    for crops in (2, 4):
        student_out = [F.normalize(v) @ F.normalize(w0).t() / TAU_S for v in views[:crops]]
        teacher = [F.softmax((t - centre) / temp, dim=-1) for t in teacher_out]
        total, n = 0, 0
        for iq, q in enumerate(teacher):
            for v in range(crops):
                if v == iq:
                    continue
                total += torch.sum(-q * F.log_softmax(student_out[v], dim=-1), dim=-1).mean()
                n += 1
        loss, key = total / n, "dino" if crops == 2 else "dino multi-crop"
        out[key + ".loss"] = loss
        grads = torch.autograd.grad(loss, [*views[:crops], w0])
        for v, g in enumerate(grads[:-1]):
            out[f"{key}.grad{v}"] = g
        out[key + ".prototypes.grad"] = grads[-1]
        batch_center = torch.sum(torch.cat(teacher_out), dim=0, keepdim=True) / (2 * B)
        out[key + ".centre.after"] = centre * CENTRE_MOMENTUM + batch_center * (1 - CENTRE_MOMENTUM)


EPSILON, ITERATIONS = 0.05, 3


def distributed_sinkhorn(out):
    """main_swav.py, of one process."""
    q = torch.exp(out / EPSILON).t()
    q /= q.sum()
    for _ in range(ITERATIONS):
        q /= q.sum(dim=1, keepdim=True)
        q /= q.shape[0]
        q /= q.sum(dim=0, keepdim=True)
        q /= q.shape[1]
    return (q * q.shape[1]).t()


def swav(out):
    """main_swav.py, train: without and with the queue."""
    crops = [leaf("view a"), leaf("view b"), leaf("local c"), leaf("local d")]
    queues = [F.normalize(formula(f"queue{i}", K, D).double()) for i in range(2)]
    w0 = F.normalize(formula("prototypes", PROTOTYPES, D).double()).requires_grad_()
    for key, n, use_queue in (("swav", 2, False), ("swav multi-crop", 4, False), ("swav queue", 4, True)):
        embedding = [F.normalize(c) for c in crops[:n]]
        output = [e @ w0.t() for e in embedding]
        loss = 0
        for crop in range(2):
            with torch.no_grad():
                scores = output[crop].detach()
                if use_queue:
                    scores = torch.cat((queues[crop] @ w0.t(), scores))
                q = distributed_sinkhorn(scores)[-B:]
            subloss = 0
            for v in range(n):
                if v != crop:
                    subloss -= torch.mean(torch.sum(q * F.log_softmax(output[v] / TAU, dim=1), dim=1))
            loss += subloss / (n - 1)
        loss /= 2
        out[key + ".loss"] = loss
        grads = torch.autograd.grad(loss, [*crops[:n], w0])
        for v, g in enumerate(grads[:-1]):
            out[f"{key}.grad{v}"] = g
        out[key + ".prototypes.grad"] = grads[-1]
        for i in range(2):
            out[f"{key}.queue{i}.after"] = torch.cat([embedding[i].detach(), queues[i][:-B]])


def seed(out):
    """Equations 3 to 5, D+ being the queue and the teacher's own embedding."""
    student, z_t, queue = leaf("query"), unit("key", B), unit("queue", K)
    losses = []
    for i, z_s in enumerate(F.normalize(student)):
        d = torch.cat([z_t[i : i + 1], queue])
        losses.append(-(F.softmax(z_t[i] @ d.t() / TAU_T, -1) * F.log_softmax(z_s @ d.t() / TAU_S, -1)).sum())
    loss = torch.stack(losses).mean()
    out["seed.loss"] = loss
    (out["seed.grad0"],) = torch.autograd.grad(loss, [student])


def mse(out):
    """Equation 2's two forms."""
    p, z = unit("view a", B), unit("target b", B)
    out["cosine"] = -F.cosine_similarity(p, z).mean()
    out["mse"] = F.mse_loss(p, z, reduction="sum") / B


WHITEN_ROWS, WHITEN_EPSILON = 4, 0.1


def whitening(x):
    """htdt/self-supervised, methods/whitening.py, with eps."""
    xn = x - x.mean(0)
    f_cov = xn.T @ xn / (len(x) - 1)
    eye = torch.eye(x.shape[1], dtype=x.dtype)
    shrunk = (1 - WHITEN_EPSILON) * f_cov + WHITEN_EPSILON * eye
    inv_sqrt = torch.linalg.solve_triangular(torch.linalg.cholesky(shrunk), eye, upper=False)
    return xn @ inv_sqrt.T


def wmse(out):
    """methods/w_mse.py, with consecutive rows for its permutation."""
    samples = [leaf("view a"), leaf("view b"), leaf("local c"), leaf("local d")]
    for n in (2, 4):
        z = [torch.cat([whitening(p) for p in x.split(WHITEN_ROWS)]) for x in samples[:n]]
        loss, pairs = 0, 0
        for i in range(n - 1):
            for j in range(i + 1, n):
                loss += 2 - 2 * (F.normalize(z[i]) * F.normalize(z[j])).sum(-1).mean()
                pairs += 1
        loss, key = loss / pairs, "w-mse" if n == 2 else "w-mse 4"
        out[key + ".loss"] = loss
        for v, g in enumerate(torch.autograd.grad(loss, samples[:n])):
            out[f"{key}.grad{v}"] = g


BETA = 0.7


def clsa(out):
    """model/CLSA.py and train.py: cross-entropy by softmax(logits of the weak query)."""
    queries = [leaf("view a"), leaf("view b"), leaf("local c")]
    k, queue = unit("key", B), unit("queue", K)

    def logits(q):
        q = F.normalize(q)
        return torch.cat([(q * k).sum(1, keepdim=True), q @ queue.t()], 1) / TAU

    weak = logits(queries[0])
    labels = F.softmax(weak.detach(), dim=1)
    ddm = [-torch.sum(labels * F.log_softmax(logits(q), dim=1), dim=1).mean() for q in queries[1:]]
    loss = F.cross_entropy(weak, torch.zeros(B, dtype=torch.long)) + BETA * sum(ddm) / len(ddm)
    out["clsa.loss"] = loss
    for v, g in enumerate(torch.autograd.grad(loss, queries)):
        out[f"clsa.grad{v}"] = g


def isd(out):
    """train_isd.py: KLDivLoss of log-softmax and softmax over the queue."""
    q0, key, queue = leaf("query"), unit("key", B), unit("queue", K)
    sim_q, sim_k = F.normalize(q0) @ queue.t() / TAU, key @ queue.t() / TAU
    loss = torch.nn.KLDivLoss(reduction="none")(F.log_softmax(sim_q, dim=1), F.softmax(sim_k, dim=1)).sum(1).mean()
    out["isd.loss"] = loss
    (out["isd.grad0"],) = torch.autograd.grad(loss, [q0])


UNIGRAD_LAMBDA, UNIGRAD_RHO = 5.0, 0.9


def unigrad(out):
    """project/pretrainer.py, loss_unigrad: its gradient, which it gets from a product that has
    no meaning as a loss, and the quadratic form that has this gradient, for the value."""
    students = [leaf("view a"), leaf("view b"), leaf("local c"), leaf("local d")]
    z1m, z2m = unit("target a", B), unit("target b", B)
    past = unit("correlation", K)
    correlation = (torch.mm(z1m.t(), z1m) + torch.mm(z2m.t(), z2m)) / (2 * z1m.shape[0])
    correlation = UNIGRAD_RHO * past.t() @ past / K + (1 - UNIGRAD_RHO) * correlation

    def loss_of(x, zm):
        z = F.normalize(x)
        grad = -zm + UNIGRAD_LAMBDA * torch.mm(z, correlation)
        loss = (grad.detach() * z).sum(-1).mean()
        value = (-zm * z).sum(-1).mean() + UNIGRAD_LAMBDA / 2 * (z @ correlation * z).sum(-1).mean()
        return loss + (value - loss).detach()

    multi_crop(out, "unigrad", students, [z1m, z2m], loss_of, sums=1)
    for key in ("unigrad", "unigrad multi-crop"):
        out[key + ".correlation.after"] = correlation


TRIPLET_GAMMA, TRIPLET_RANKS = 2.0, (2, 5)


def triplet(out):
    """heads/triplet_loss_head.py of wanggrun/triplet, less its margin."""
    students = [leaf("view a"), leaf("view b"), leaf("local c"), leaf("local d")]
    targets = [formula("target a", B, D).double(), formula("target b", B, D).double()]

    def loss_of(pred, target):
        dist = -2.0 * torch.matmul(F.normalize(pred, dim=1), F.normalize(target, dim=1).t())
        mask = torch.eye(B, dtype=torch.bool)
        dist_ap, dist_an = [], []
        for i in range(B):
            dist_ap.append(dist[i][mask[i]].max())
            down_k, _ = torch.topk(dist[i][~mask[i]], TRIPLET_RANKS[1], dim=-1, largest=False)
            dist_an.append(down_k[TRIPLET_RANKS[0] - 1 :].mean())
        ranking_loss = torch.nn.MarginRankingLoss(margin=100.0)
        ap, an = torch.stack(dist_ap), torch.stack(dist_an)
        return ranking_loss(an, TRIPLET_GAMMA * ap, torch.ones_like(an)) - 100.0

    multi_crop(out, "truncated-triplet", students, targets, loss_of)


# In the fixture's order.
OBJECTIVES = (moco, simclr, byol, simsiam, nnclr, mse)
OBJECTIVES += (infomin, moco_symmetric, byol_multi_crop, moco_v3, barlow, vicreg, dino, swav, seed)
OBJECTIVES += (wmse, clsa, isd)
OBJECTIVES += (unigrad, triplet, mochi, adco, wcl, fnc)
OBJECTIVES += (npid, pcl, localagg, rotation, relative_loc, pirl)
OBJECTIVES += (compress, disco, simdis, bingo, fixmatch, uda, s4l)
OBJECTIVES += (cpc,)

if __name__ == "__main__":
    fixture = {}
    for objective in OBJECTIVES:
        objective(fixture)
    save(
        "objectives",
        fixture,
        dict(
            B=B, D=D, K=K, tau=TAU, tau_s=TAU_S, tau_t=TAU_T, tau_t_start=TAU_T_START, ramp=RAMP,
            prototypes=PROTOTYPES, centre_momentum=CENTRE_MOMENTUM, epsilon=EPSILON, iterations=ITERATIONS,
            off_diagonal=LAMBDA, invariance=VICREG[0], variance=VICREG[1], covariance=VICREG[2],
            whiten_rows=WHITEN_ROWS, whiten_epsilon=WHITEN_EPSILON, beta=BETA,
            repulsion=UNIGRAD_LAMBDA, keep=UNIGRAD_RHO, gamma=TRIPLET_GAMMA, rank_from=TRIPLET_RANKS[0], rank_to=TRIPLET_RANKS[1],
            hardest=MOCHI[0], mixed=MOCHI[1], harder=MOCHI[2], adversary_tau=ADCO_TAU,
            false_top=FNC_TOP, false_above=FNC_THRESHOLD,
            samples=SAMPLES, ids=IDS, bank_momentum=BANK_MOMENTUM, bank_negatives=NEGATIVES, proximal=PROXIMAL,
            clusters=CLUSTERS, neighbours=NEIGHBOURS, pred_hidden=PRED_HIDDEN,
            distil_weight=DISCO_WEIGHT, side=SIDE,
            context_hidden=CONTEXT_HIDDEN, context_blocks=CONTEXT_BLOCKS, step_from=STEP_FROM, step_to=STEP_TO,
            classes=CLASSES, label_fraction=LABEL_FRACTION, confidence=CONFIDENCE, consistency=CONSISTENCY, sharpen=SHARPEN, labels=LABELS,
        ),
    )  # fmt: skip
