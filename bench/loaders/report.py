"""The table of what loaders.sh measured: report.py FILE."""

import json
import statistics
import sys

ORDER = "torch+albumentations"  # the one that the others are compared with


def main():
    with open(sys.argv[1]) as f:
        rows = [json.loads(line) for line in f if line.strip()]
    cells = {}
    for r in rows:
        cells.setdefault((r["cores"], r["peer"]), []).append(r)
    for cores in sorted({c for c, _ in cells}):
        mine = {p: v for (c, p), v in cells.items() if c == cores}
        mid = lambda p, key, mine=mine: statistics.median(r[key] for r in mine[p])
        print(f"\n{cores} core{'s' * (cores > 1)}; samples a CPU-second (least … most), by the clock, first batch; n = rounds\n")
        print(f"| loader | n | a CPU-second | a second | of {ORDER} | first batch, s |\n| --- | --- | --- | --- | --- | --- |")
        for p in sorted(mine, key=lambda p: -mid(p, "samples_per_cpu_second")):
            per_cpu = [r["samples_per_cpu_second"] for r in mine[p]]
            ratio = f"{mid(p, 'samples_per_cpu_second') / mid(ORDER, 'samples_per_cpu_second'):.2f}" if ORDER in mine else "—"
            spread = f"({min(per_cpu):.0f} … {max(per_cpu):.0f})"
            cells_of = [
                f"{mine[p][-1]['version']} ({p})",
                len(per_cpu),
                f"{mid(p, 'samples_per_cpu_second'):.0f} {spread}",
                f"{mid(p, 'samples_per_second'):.0f}",
                ratio,
                f"{mid(p, 'first_batch_seconds'):.1f}",
            ]
            print("| " + " | ".join(map(str, cells_of)) + " |")


if __name__ == "__main__":
    main()
