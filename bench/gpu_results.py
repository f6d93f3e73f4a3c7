"""The results of bench/gpu.sh: lines of JSON, of which every one names its stage.

A stage's end is a line of the stage "end" with its name (of), its exit status (rc) and times.
rc 0: it is done. 3: what it needs has not come. 4: it was stopped, and can be continued.
"""

import json
import os
import re
import statistics
import sys
import time


def read(path):
    """The lines of a file; one that a killed call left half-written is skipped."""
    if not os.path.exists(path):
        return []
    out = []
    with open(path) as f:
        for line in f:
            try:
                out.append(json.loads(line))
            except ValueError:
                continue
    return out


def add(path, stage, *keys):
    """Adds the objects of standard input, one a line, or one without any."""
    given = sys.stdin.read().strip()  # its end is the program's
    head = {"stage": stage, "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
    for key in keys:
        name, _, value = key.partition("=")
        head[name] = int(value) if re.fullmatch(r"-?\d+", value) else value
    if not given and "program" in head and "error" not in head:
        sys.exit(f"{stage}: the program printed nothing")
    whole = not os.path.exists(path) or open(path, "rb").read()[-1:] in (b"", b"\n")
    with open(path, "a") as f:
        for line in given.splitlines() or ["{}"]:
            f.write(("" if whole else "\n") + json.dumps(head | json.loads(line)) + "\n")
            whole = True


def left(path, *names):
    """Prints the stages that are not done: those that never failed first."""
    last = {r["of"]: r["rc"] for r in read(path) if r["stage"] == "end"}
    todo = [n for n in names if last.get(n) != 0]
    print(*sorted(todo, key=lambda n: last.get(n, 0) not in (0, 3, 4)))


def tests(path):
    """What Go's test program says of each test and benchmark, as JSON lines."""
    with open(path, errors="replace") as f:
        text = f.read()
    for verdict, name, seconds in re.findall(r"^\s*--- (PASS|FAIL|SKIP): (\S+) \(([\d.]+)s\)", text, re.M):
        print(json.dumps({"test": name, "verdict": verdict, "seconds": float(seconds)}))
    for name, rest in re.findall(r"^(Benchmark\S+)\s+\d+\s+(.*)", text, re.M):
        row = {"benchmark": name}
        for value, unit in re.findall(r"([\d.e+]+) (\S+)", rest):
            row[unit] = float(value)
        print(json.dumps(row))


def words():
    """Lines of a name and text, as one object."""
    pairs = (line.rstrip("\n").partition(" ") for line in sys.stdin)
    print(json.dumps({name: text for name, _, text in pairs}))


def table(path):
    """The medians for people, and how many times faster the first program's graph is."""
    rows = [r for r in read(path) if "images_per_second" in r and "program" in r]
    for stage in dict.fromkeys(r["stage"] for r in rows):
        rates = {}
        for r in rows:
            if r["stage"] == stage:
                rates.setdefault((r["program"], r["what"]), []).append(r["images_per_second"])
        ours = next(iter(rates.values()))
        for (program, what), values in rates.items():
            rate = statistics.median(values)
            ratio = statistics.median(ours) / rate
            print(f"{stage:12} {program:8} {what:28} {rate:10.1f} images/s, n {len(values)}; the first is {ratio:.2f} times as fast")
    for r in read(path):
        if r.get("verdict") == "FAIL":
            print(f"{r['stage']:12} FAIL {r['test']}")


if __name__ == "__main__":
    command, *rest = sys.argv[1:]
    {"add": add, "left": left, "tests": tests, "words": words, "table": table}[command](*rest)
