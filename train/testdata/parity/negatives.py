"""References of the objectives that make or choose their negatives, for objectives.py: loss and
gradients by PyTorch, in the form of their authors' code."""

import torch
import torch.nn.functional as F

from fixtures import formula
from inputs import TAU, B, D, K, drawn, leaf, unit

MOCHI = (10, 6, 4)  # N, s, s'


def mochi(out):
    """Sections 4.1 and 4.2 of the paper, a query at a time; it has no official code."""
    n, s, harder = MOCHI
    q0, k, queue = leaf("query"), unit("key", B), unit("queue", K)
    q = F.normalize(q0)
    first, second, alpha = drawn("first", s, n), drawn("second", s, n), drawn("alpha", s)
    third, beta = drawn("harder", harder, n), drawn("beta", harder) / 2
    losses = []
    for i in range(B):
        with torch.no_grad():
            hardest = queue[torch.argsort(queue @ q[i], descending=True)[:n]]
            h = [alpha[i, c] * hardest[first[i, c]] + (1 - alpha[i, c]) * hardest[second[i, c]] for c in range(s)]
            h += [beta[i, c] * q[i] + (1 - beta[i, c]) * hardest[third[i, c]] for c in range(harder)]
            h = F.normalize(torch.stack(h))
        logits = torch.cat([(q[i] @ k[i])[None], queue @ q[i], h @ q[i]]) / TAU
        losses.append(F.cross_entropy(logits[None], torch.zeros(1, dtype=torch.long)))
    loss = torch.stack(losses).mean()
    out["mochi.loss"] = loss
    (out["mochi.grad0"],) = torch.autograd.grad(loss, [q0])


ADCO_TAU = 0.07


def adco(out):
    """training/train.py of maple-research-lab/AdCo, update_network and update_network_multi,
    with the paper's one positive for each query; of several queries the mean."""
    k, w = unit("key", B), formula("adversaries", K, D).double().t()  # d in their code, (D,K)
    for key, names in (("adco", ["query"]), ("adco multi-crop", ["query", "local c", "local d"])):
        queries = [leaf(name) for name in names]
        d_norm = F.normalize(w, dim=0)
        loss, climb = 0, 0
        for q0 in queries:
            q = F.normalize(q0)
            l_pos, l_neg = (q * k).sum(1, keepdim=True), q @ d_norm
            logits = torch.cat([l_pos, l_neg], dim=1)
            loss += F.cross_entropy(logits / TAU, torch.zeros(B, dtype=torch.long)) / len(queries)
            with torch.no_grad():
                p_qd = F.softmax(logits / ADCO_TAU, dim=1)[:, 1:]
                g = torch.einsum("cn,nk->ck", [q.T, p_qd]) / B - torch.mul(torch.mean(torch.mul(p_qd, l_neg), dim=0), d_norm)
                climb += torch.div(g, torch.norm(w, dim=0)) / ADCO_TAU / len(queries)
        out[key + ".loss"] = loss
        for v, g in enumerate(torch.autograd.grad(loss, queries)):
            out[f"{key}.grad{v}"] = g
        out[key + ".adversaries.grad"] = climb.t()


def connected(similarity):
    """The connected components of the graph of nearest neighbours, by search."""
    nearest = (similarity - 2 * torch.eye(B)).argmax(1).tolist()
    labels = list(range(B))
    for _ in range(B):
        for i, j in enumerate(nearest):
            labels[i] = labels[j] = min(labels[i], labels[j])
    return torch.tensor(labels)


def wcl(out):
    """network/wcl.py, of one process."""
    z1, z2, p1, p2 = leaf("z a"), leaf("z b"), leaf("view a"), leaf("view b")

    def sup_contra(logits, labels):
        diagnal_mask = 1 - torch.eye(B).double()
        mask = torch.eq(labels.unsqueeze(1), labels.unsqueeze(1).T).double() * diagnal_mask
        exp_logits = torch.exp(logits) * diagnal_mask
        log_prob = logits - torch.log(exp_logits.sum(1, keepdim=True))
        return -((mask * log_prob).sum(1) / mask.sum(1)).mean()

    feat = torch.cat([F.normalize(z1), F.normalize(z2)])
    prob = feat @ feat.T / TAU
    logits = torch.masked_select(prob, (1 - torch.eye(2 * B)).bool()).reshape(2 * B, -1)
    labels = torch.cat([torch.arange(B - 1, 2 * B - 1), torch.arange(0, B)])
    feat1, feat2 = F.normalize(p1), F.normalize(p2)
    label1, label2 = connected(feat1 @ feat1.T), connected(feat2 @ feat2.T)
    graph_loss = (sup_contra(feat1 @ feat1.T / TAU, label2) + sup_contra(feat2 @ feat2.T / TAU, label1)) / 2
    loss = F.cross_entropy(logits, labels) + graph_loss
    out["wcl.loss"] = loss
    leaves = {"grad0": p1, "grad1": p2, "second0": z1, "second1": z2}
    for name, g in zip(leaves, torch.autograd.grad(loss, list(leaves.values()))):
        out["wcl." + name] = g


FNC_TOP, FNC_THRESHOLD = 4, 0.25


def fnc(out):
    """objective.py, add_contrastive_loss, of one replica; half of it, the mean over the anchors."""
    crops = [leaf("view a"), leaf("view b"), leaf("local c"), leaf("local d")]
    masks = torch.eye(B).double()
    for key, n in (("fnc", 2), ("fnc 4", 4)):
        hidden = [F.normalize(c) for c in crops[:n]]
        masks_all = masks.repeat(1, n)
        all_scores = torch.stack(hidden, 1) @ torch.cat(hidden).t()
        all_scores = all_scores.max(dim=1).values - masks_all * 1e9
        _, topk_inds = torch.topk(all_scores, FNC_TOP)
        dense_mask = (all_scores > FNC_THRESHOLD).double() * torch.zeros_like(all_scores).scatter(1, topk_inds, 1.0)
        total_loss = 0
        for anchor in range(n):
            view_list, log_numerator = [], 0
            for view in range(n):
                anchor_view = hidden[anchor] @ hidden[view].t() / TAU
                if view == anchor:
                    anchor_view = anchor_view - masks * 1e9
                else:
                    log_numerator = log_numerator + (anchor_view * masks).sum(1)
                view_list.append(anchor_view)
            denominator = torch.cat(view_list, 1)
            log_numerator = log_numerator + (denominator * dense_mask).sum(1)
            log_numerator = -log_numerator / (n - 1.0 + dense_mask.sum(1))
            total_loss = total_loss + (log_numerator + torch.logsumexp(denominator, 1)).mean()
        loss = total_loss * 2.0 / n / 2
        out[key + ".loss"] = loss
        for v, g in enumerate(torch.autograd.grad(loss, crops[:n])):
            out[f"{key}.grad{v}"] = g
