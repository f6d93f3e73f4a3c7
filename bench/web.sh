#!/bin/bash
# What --web costs a run: without it, with it and nobody looking, and with one page open; the same
# run, alternating. Prints medians of the processes' CPU time, which other programs on the machine
# hardly affect, and of the seconds that the steps took, which need a quiet one. The weights must be
# equal.
#
#   ROUNDS=5 EPOCHS=4 DATA=fashion-mnist: bench/web.sh
set -eu
cd "$(dirname "$0")/.."
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
exec "${PY:-/usr/bin/python3}" - "$tmp" "${ROUNDS:-5}" "${EPOCHS:-4}" "${DATA:-fashion-mnist:}" <<'PYEOF'
import json, os, re, statistics, subprocess, sys, threading, urllib.request

tmp, rounds, epochs, data = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
arms = {"without --web": (), "nobody looks": ("--web", ":0"), "one page": ("--web", ":0")}


def look(url, sent):
    """Takes a page's events until the process ends."""
    page = urllib.request.urlopen(url).geturl()
    for line in urllib.request.urlopen(page.replace(url, url + "events/")):
        sent.append(len(line))


def run(arm, i):
    p = subprocess.Popen(
        ["bin/resslt", "run", "--recipe", "smoke", "--data", data, "--json", "--out", f"{tmp}/{i}-{len(arm)}"]
        + ["--set", f"epochs={epochs}", "--set", "eval=[none]", *arms[arm]],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )
    sent = []
    for line in p.stderr:
        url = re.search(r"http://127\S+/", line)
        if url and arm == "one page":
            threading.Thread(target=look, args=(url[0], sent), daemon=True).start()
    summary = json.loads(p.stdout.read().strip().splitlines()[-1])
    _, _, used = os.wait4(p.pid, 0)
    return used.ru_utime + used.ru_stime, summary["train_seconds"], summary["student_sha256"], sum(sent)


cpu, steps, digests, sent = {a: [] for a in arms}, {a: [] for a in arms}, set(), 0
for i in range(rounds):
    for arm in list(arms) if i % 2 == 0 else reversed(list(arms)):
        c, s, digest, n = run(arm, i)
        cpu[arm].append(c)
        steps[arm].append(s)
        digests.add(digest)
        sent += n
base = next(iter(arms))
for arm in arms:
    ratios = [[a / b for a, b in zip(of[arm], of[base])] for of in (cpu, steps)]
    print(f"{arm:14s} CPU {statistics.median(cpu[arm]):7.2f} s, ratio {statistics.median(ratios[0]):.3f} ({min(ratios[0]):.3f} to {max(ratios[0]):.3f});"
          f" steps {statistics.median(steps[arm]):7.2f} s, ratio {statistics.median(ratios[1]):.3f} ({min(ratios[1]):.3f} to {max(ratios[1]):.3f}), n {rounds}")
print(f"{sent / 1e6:.1f} MB sent to pages, {len(digests)} digest of weights")
sys.exit(len(digests) != 1)
PYEOF
