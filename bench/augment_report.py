"""The table of what augment.sh measured: augment_report.py FOLDER, which has POLICY.ENGINE
files of one JSON object a round; engines of this project begin with "resslt"."""

import json
import pathlib
import statistics
import sys


def main():
    cells = {}
    for path in sorted(pathlib.Path(sys.argv[1]).glob("*.*")):
        rows = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
        if rows:
            policy, _, engine = path.name.partition(".")
            cells.setdefault(policy, {})[engine] = rows
    for policy, engines in cells.items():
        mid = lambda e, key, engines=engines: statistics.median(r[key] for r in engines[e])
        rate = {e: mid(e, "samples_per_cpu_second") for e in engines}
        peers = [e for e in engines if not e.startswith("resslt")]
        best = max((rate[e] for e in peers), default=None)
        print(f"\n{policy}: samples a CPU-second (least … most), by the clock; n = rounds\n")
        print("| engine | n | a CPU-second | a second | ÷ the best peer | of decoding alone |\n| --- | --- | --- | --- | --- | --- |")
        for e in sorted(engines, key=lambda e: -rate[e]):
            per_cpu = [r["samples_per_cpu_second"] for r in engines[e]]
            alone = [r["samples_per_cpu_second"] / r["decode_only_per_cpu_second"] for r in engines[e] if "decode_only_per_cpu_second" in r]
            row = [
                engines[e][-1]["engine"] + (f" ({e})" if e not in peers else ""),
                len(per_cpu),
                f"{rate[e]:.0f} ({min(per_cpu):.0f} … {max(per_cpu):.0f})",
                f"{mid(e, 'samples_per_second'):.0f}",
                f"{rate[e] / best:.2f}" if best else "—",
                f"{statistics.median(alone):.2f}" if alone else "—",
            ]
            print("| " + " | ".join(map(str, row)) + " |")


if __name__ == "__main__":
    main()
