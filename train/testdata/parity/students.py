"""References of the objectives with a trained teacher, and of those with some labels, for
objectives.py: loss and gradients by PyTorch, in the form of their authors' code."""

import math

import torch
import torch.nn.functional as F

from fixtures import formula
from inputs import TAU, B, D, K, drawn, leaf, unit


def kld(targets, inputs):
    """nn/compress_loss.py of UMBCvision/CompRess, KLD."""
    return F.kl_div(F.log_softmax(inputs, dim=1), F.softmax(targets, dim=1), reduction="batchmean")


def compress(out):
    """nn/compress_loss.py: CompReSSMomentum and CompReSSA, with its memories newest first."""
    q0, teacher, key = leaf("query"), unit("key", B), unit("student key", B)
    student = F.normalize(q0)
    memory_t, memory_s = (unit(f"{side}_anchors", K) for side in ("teacher", "student"))
    loss = kld(torch.mm(memory_t, teacher.t()).t() / TAU, torch.mm(memory_s, student.t()).t() / TAU)
    out["compress.loss"] = loss
    (out["compress.grad0"],) = torch.autograd.grad(loss, [q0])
    out["compress.teacher_anchors.after"] = torch.cat([teacher, memory_t])[:K]
    out["compress.student_anchors.after"] = torch.cat([key, memory_s])[:K]
    queue, student = unit("queue", K), F.normalize(q0)
    loss = kld(torch.mm(queue, teacher.t()).t() / TAU, torch.mm(queue, student.t()).t() / TAU)
    out["compress-1q.loss"] = loss
    (out["compress-1q.grad0"],) = torch.autograd.grad(loss, [q0])


DISCO_WEIGHT = 3.0


def disco(out):
    """main.py and builder_kq_mse_largeembedding_2048.py of Yuting-Gao/DisCo-pytorch; of B rows in
    place of the 32 of a GPU, so that its weight is DISCO_WEIGHT / B."""
    k0, q0 = leaf("view a"), leaf("view b")
    qk, q = F.normalize(k0, dim=1), F.normalize(q0, dim=1)
    teacher_qk, teacher_q = unit("target a", B), unit("target b", B)
    k, queue = unit("student key", B), unit("queue", K)
    l_pos = torch.einsum("nc,nc->n", [q, k]).unsqueeze(-1)
    l_neg = torch.einsum("nc,ck->nk", [q, queue.t()])
    logits = torch.cat([l_pos, l_neg], dim=1) / TAU
    criterion_mse = torch.nn.MSELoss(reduction="sum")
    loss = F.cross_entropy(logits, torch.zeros(B, dtype=torch.long))
    loss = loss + DISCO_WEIGHT / B * (criterion_mse(teacher_q, q) + criterion_mse(teacher_qk, qk))
    out["disco.loss"] = loss
    out["disco.grad0"], out["disco.grad1"] = torch.autograd.grad(loss, [k0, q0])


def simdis(out):
    """models/sim_dis_train_model.py of JindongGu/SimDis, offline, with one teacher for its two: the
    terms s_dv, sema_sv, sema_dv, t_sv and t_dv. Its predictors end with a normalization."""
    predicted = {term: [leaf(name) for name in names] for term, names in SIMDIS.items()}
    fs1, fs2 = leaf("z a"), leaf("z b")
    fs1_norm, fs2_norm = F.normalize(fs1, dim=1), F.normalize(fs2, dim=1)
    fs1_ema, fs2_ema = unit("student key a", B), unit("student key b", B)
    ft1_norm, ft2_norm = unit("target a", B), unit("target b", B)

    def pred_feat_loss(q1, k1, q2, k2):
        q1, q2 = F.normalize(q1), F.normalize(q2)
        return (4 - 2 * ((q1 * k1.detach()).sum(dim=-1, keepdim=True) + (q2 * k2.detach()).sum(dim=-1, keepdim=True))).mean()

    targets = {
        "sema_dv": (fs2_ema, fs1_ema),
        "sema_sv": (fs1_ema, fs2_ema),
        "s_dv": (fs2_norm, fs1_norm),
        "t_sv": (ft1_norm, ft2_norm),
        "t_dv": (ft2_norm, ft1_norm),
    }
    loss_s, num_view_s = 0, 0
    for term, (k1, k2) in targets.items():
        q1, q2 = predicted[term]
        loss_s += pred_feat_loss(q1, k1, q2, k2)
        num_view_s += 1
    loss = loss_s / num_view_s
    out["simdis.loss"] = loss
    for term, leaves in predicted.items():
        for view, g in enumerate(torch.autograd.grad(loss, leaves, retain_graph=True)):
            which = list(SIMDIS).index(term)
            out[f"simdis.grad{view}" + (f".{which}" if which else "")] = g


# By term, the predictions of the two views, as methods_test.go names them.
SIMDIS = {
    term: [f"view {v}" + (f", {i}" if i else "") for v in "ab"] for i, term in enumerate(("sema_dv", "sema_sv", "s_dv", "t_sv", "t_dv"))
}

SIDE = 24  # of a view, pixels


def boxes():
    """utils.py of haohang96/bingo, cutmix and rand_bbox: lam of each pair, whose Beta(2,2) is the
    middle one of three numbers, and of the pair's first row."""
    lams = []
    for three, (cx, cy) in zip(drawn("share", 3)[::2], drawn("center", 2)[::2]):
        lam = three.sort().values[1].item()
        cut = int(SIDE * math.sqrt(1.0 - lam))
        cx, cy = int(SIDE * cx.item()), int(SIDE * cy.item())
        clip = lambda x: min(max(x, 0), SIDE)
        bbx1, bby1, bbx2, bby2 = clip(cx - cut // 2), clip(cy - cut // 2), clip(cx + cut // 2), clip(cy + cut // 2)
        lams.append(1 - (bbx2 - bbx1) * (bby2 - bby1) / (SIDE * SIDE))
    return torch.tensor(lams, dtype=torch.float64)


def bingo(out):
    """main_moco.py and moco/builder.py of haohang96/bingo, after its first epochs and in them."""
    leaves = [formula(name, B // 2, D).double().requires_grad_() for name in ("anchor", "mate", "mixed")]
    q, add_posq, mix_q = (F.normalize(x, dim=1) for x in leaves)
    keys, queue = unit("key", B), unit("keys", K).t()
    all_k = torch.stack([keys[::2], keys[1::2]], dim=1)
    labels, mix_lam = torch.zeros(B // 2, dtype=torch.long), boxes()

    def logits_q_nk(q):
        _pos = torch.einsum("nmc,nc->nm", [all_k, q]).unsqueeze(-1)
        _neg = torch.einsum("nc,ck->nk", [q, queue]).unsqueeze(1).repeat(1, 2, 1)
        return torch.cat([_pos, _neg], dim=2) / TAU

    def multi_pos(inputs, lam):
        return sum((lam[i] * F.cross_entropy(inputs[:, i], labels, reduction="none")).mean() for i in range(2))

    for name, soft in (("bingo", 0.5), ("bingo warm-up", 1.0)):
        loss = multi_pos(logits_q_nk(q), [soft, 1 - soft]) + multi_pos(logits_q_nk(add_posq), [1 - soft, soft])
        loss = (loss + multi_pos(logits_q_nk(mix_q), [mix_lam, 1 - mix_lam])) / 3
        out[name + ".loss"] = loss
        for view, g in enumerate(torch.autograd.grad(loss, leaves, retain_graph=True)):
            out[f"{name}.grad{view}"] = g
        out[name + ".keys.after"] = torch.cat([keys[::2], queue.t()])[:K]


CLASSES, LABEL_FRACTION, CONFIDENCE, CONSISTENCY, SHARPEN = 10, 0.25, 0.2, 3.0, 0.4
LABELS = [3, -1, 0, -1, -1, 9, -1, -1]


def classified(out, name, consistency):
    """ℓ_s + λ·ℓ_u by the logits of a weak and a strong view; consistency gives ℓ_u a row. Their
    batches of labelled images are here the rows that show a label, as many as a batch has on
    average."""
    weak0, strong0 = leaf("view a"), leaf("view b")
    w, bias = unit("classifier", CLASSES, D), unit("bias", 1, CLASSES)
    w, bias = w.requires_grad_(), bias.requires_grad_()
    weak, strong = (F.linear(x, w, bias[0]) for x in (weak0, strong0))
    labels = torch.tensor(LABELS)
    shown = labels >= 0
    loss_s = F.cross_entropy(weak[shown], labels[shown], reduction="sum") / (LABEL_FRACTION * B)
    with torch.no_grad():
        mask = (F.softmax(weak, -1).max(-1).values > CONFIDENCE).double()
    assert 0 < mask.sum() < B
    loss = loss_s + CONSISTENCY * (consistency(weak.detach(), strong) * mask).mean()
    out[name + ".loss"] = loss
    leaves = {"grad0": weak0, "grad1": strong0, "classifier.grad": w, "bias.grad": bias}
    for key, g in zip(leaves, torch.autograd.grad(loss, list(leaves.values()))):
        out[f"{name}.{key}"] = g


def s4l(out):
    """semi_supervised/rotation.py: classes of labelled images in every rotation, rotations of all."""
    f0 = formula("turned features", 4 * B, D).double().requires_grad_()
    shapes = {"classifier": (CLASSES, D), "bias": (1, CLASSES), "rotations": (4, D), "rotations_bias": (1, 4)}
    w, bias, turns, turns_bias = (unit(name, *shape).requires_grad_() for name, shape in shapes.items())
    labels_class_repeat = torch.tensor(LABELS)[:, None].repeat(1, 4).reshape(-1)
    shown = labels_class_repeat >= 0
    logits_class = F.linear(f0, w, bias[0])[shown]
    loss_class = F.cross_entropy(logits_class, labels_class_repeat[shown], reduction="sum") / (LABEL_FRACTION * 4 * B)
    loss = loss_class + CONSISTENCY * F.cross_entropy(F.linear(f0, turns, turns_bias[0]), torch.arange(4).repeat(B))
    out["s4l.loss"] = loss
    leaves = {"grad0": f0, "classifier.grad": w, "bias.grad": bias, "rotations.grad": turns, "rotations_bias.grad": turns_bias}
    for key, g in zip(leaves, torch.autograd.grad(loss, list(leaves.values()))):
        out[f"s4l.{key}"] = g


def fixmatch(out):
    """fixmatch.py: cross-entropy of the strong view with the class of the weak one."""

    def loss_xeu(weak, strong):
        return F.cross_entropy(strong, weak.argmax(-1), reduction="none")

    classified(out, "fixmatch", loss_xeu)


def uda(out):
    """image/main.py: _kl_divergence_with_logits of ori_logits_tgt and aug_logits."""

    def aug_loss(ori_logits, aug_logits):
        p = F.softmax(ori_logits / SHARPEN, -1)
        log_p, log_q = F.log_softmax(ori_logits / SHARPEN, -1), F.log_softmax(aug_logits, -1)
        return (p * (log_p - log_q)).sum(-1)

    classified(out, "uda", aug_loss)
