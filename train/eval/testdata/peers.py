"""The protocols by scikit-learn and PyTorch, on features that resslt wrote.

    peers.py TASK OPTIONS.json TRAIN.safetensors TEST.safetensors

prints one JSON object. train/eval's tests and bench/eval.sh compare with it.
"""

import json
import struct
import sys
import time
import warnings

import numpy as np

warnings.filterwarnings("ignore")


def load(path):
    with open(path, "rb") as f:
        header = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
        data = f.read()
    kinds = {"F32": "<f4", "I32": "<i4", "I64": "<i8", "U8": "|i1"}
    out = {}
    for name, e in header.items():
        if name != "__metadata__":
            a, b = e["data_offsets"]
            out[name] = np.frombuffer(data[a:b], kinds[e["dtype"]]).reshape(e["shape"])
    if "targets" not in out:
        out["targets"] = np.where(np.eye(out["labels"].max() + 1)[out["labels"]] > 0, 1, -1).astype(np.int8)
    return out


def unit(x):
    return x / (np.linalg.norm(x, axis=1, keepdims=True) + 1e-5)


def knn(o, train, test):
    from sklearn.neighbors import KNeighborsClassifier

    out = {}
    for k in o["k"]:
        vote = KNeighborsClassifier(k, metric="cosine", algorithm="brute", weights=lambda d: np.exp((1 - d) / o["temperature"]))
        out[str(k)] = 100 * vote.fit(train["features"], train["labels"]).score(test["features"], test["labels"])
    return out


def logistic(o, train, test):
    from sklearn.linear_model import LogisticRegression

    out = []
    for lam in o["lambda"]:
        fit = LogisticRegression(C=1 / lam, max_iter=5000, tol=1e-6).fit(train["features"].astype(np.float64), train["labels"])
        out.append(100 * fit.score(test["features"], test["labels"]))
    return {"top1": out}


def eleven_point(target, score):
    order = np.argsort(-score, kind="stable")
    hit = target[order] > 0
    precision, recall = np.cumsum(hit) / np.arange(1, len(hit) + 1), np.cumsum(hit) / hit.sum()
    return np.mean([max(precision[recall >= t / 10 - 1e-12], default=0) for t in range(11)])


def all_point(target, score):
    order = np.argsort(-score, kind="stable")
    hit = target[order] > 0
    precision = np.maximum.accumulate((np.cumsum(hit) / np.arange(1, len(hit) + 1))[::-1])[::-1]
    return precision[hit].sum() / hit.sum()


def svm(o, train, test):
    from sklearn.metrics import average_precision_score
    from sklearn.svm import LinearSVC

    x, q = unit(train["features"]), unit(test["features"])
    rows = []
    for c in range(o["classes"]):
        y, t = train["targets"][:, c], test["targets"][:, c]
        fit = LinearSVC(
            C=o["C"], class_weight={1: 2, -1: 1}, loss="hinge" if o["hinge"] else "squared_hinge", dual=True, max_iter=20000, random_state=0
        )
        fit.fit(x[y != 0], y[y != 0])
        s = fit.decision_function(q[t != 0])
        t = t[t != 0]
        rows.append([eleven_point(t, s), all_point(t, s), average_precision_score(t > 0, s)])
    mean = 100 * np.mean(rows, axis=0)
    return {"ap11": mean[0], "ap_all": mean[1], "average_precision_score": mean[2]}


def linear(o, train, test):
    import torch

    torch.manual_seed(o["seed"])
    torch.set_num_threads(1)
    x, y = torch.tensor(train["features"]), torch.tensor(train["labels"]).long()
    q, t = torch.tensor(test["features"]), torch.tensor(test["labels"]).long()
    net = torch.nn.Linear(x.shape[1], int(y.max()) + 1)
    torch.nn.init.normal_(net.weight, std=0.01)
    torch.nn.init.zeros_(net.bias)
    opt = torch.optim.SGD(net.parameters(), o["lr"], momentum=0.9, nesterov=o["nesterov"])
    steps = o["epochs"] * -(-len(x) // o["batch"])
    if o["cosine"]:
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(opt, steps)
    else:
        per = steps // o["epochs"]
        schedule = torch.optim.lr_scheduler.MultiStepLR(opt, [per * (o["epochs"] * 6 // 10), per * (o["epochs"] * 8 // 10)])
    for _ in range(o["epochs"]):
        for idx in torch.randperm(len(x)).split(o["batch"]):
            opt.zero_grad()
            torch.nn.functional.cross_entropy(net(x[idx]), y[idx]).backward()
            opt.step()
            schedule.step()
    with torch.no_grad():
        return {"top1": 100 * (net(q).argmax(1) == t).double().mean().item()}


def tsne(o, train, test):
    """train: features; test: resslt's embedding of them."""
    from sklearn.manifold import TSNE, trustworthiness

    x = train["features"]
    k = o["neighbours"]
    theirs = TSNE(perplexity=o["perplexity"], init="random", learning_rate="auto", random_state=0, n_jobs=2).fit_transform(x)
    return {"ours": trustworthiness(x, test["features"], n_neighbors=k), "theirs": trustworthiness(x, theirs, n_neighbors=k)}


if __name__ == "__main__":
    task, options, train, test = sys.argv[1:]
    start = time.perf_counter()
    with open(options) as f:
        out = globals()[task](json.load(f), load(train), load(test))
    out["seconds"] = time.perf_counter() - start
    print(json.dumps(out))
