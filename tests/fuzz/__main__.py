"""Try the program with cases at random: ``python -m tests.fuzz CASES SEED``.

Each case follows from (seed, index) alone, so ``--from INDEX`` with one case repeats it. Every tenth case consults an
oracle: a question whose answer is known in another way. Exit status: 0 where nothing was found, else 1.
"""

from __future__ import annotations

import argparse
import resource
import sys
from collections import Counter
from dataclasses import replace
from functools import partial

from tests.fuzz import grammar, oracles
from tests.fuzz.harness import Finding, Sandbox, cpu_seconds, judged
from tests.fuzz.shrinking import reproduction, shrunk

_MEMORY = 6 << 30  # bytes of address space: a case that wants more fails here, and not the machine
_CANARY = 200  # cases between two looks at whether the same question still has the same answer
_PROGRESS = 5000  # cases between two lines on standard error
_AGAIN = 50  # of these one case is run twice
_INTERRUPTED = 8  # of these processes one is interrupted


def tried(sandbox: Sandbox, case: grammar.Case, *, apart: bool = False) -> list[Finding]:
    """Run a case, in this process or apart as a process of its own, and return what is wrong with it."""
    outcome = sandbox.process(case) if apart else sandbox.call(case)
    return judged(sandbox, case, outcome)


class Collection:
    """What was found, by kind and cause: how often, and the first case of each."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        self.first: dict[tuple[str, str], tuple[str, str, grammar.Case | None]] = {}

    def add(self, finding: Finding, name: str, case: grammar.Case | None) -> None:
        """Count a finding."""
        key = finding.kind, finding.cause
        self.counts[key] += 1
        self.first.setdefault(key, (name, finding.detail, case))

    def report(self, sandbox: Sandbox, *, shrink: bool) -> None:
        """Write everything that was found, the most frequent first."""
        for (kind, cause), count in sorted(self.counts.items(), key=lambda item: (item[0][0], -item[1])):
            name, detail, case = self.first[kind, cause]
            say(f"{kind} × {count}: {cause}\n  first at {name}: {detail.strip()[:400]}")
            if case is not None:
                if shrink:
                    case = shrunk(case, partial(_fails, sandbox, (kind, cause)))
                say("  " + reproduction(case, shown=2000 if shrink else 300).replace("\n", "\n  "))


def _fails(sandbox: Sandbox, key: tuple[str, str], case: grammar.Case) -> bool:
    return any((each.kind, each.cause) == key for each in tried(sandbox, case))


def say(line: str) -> None:
    """Write a line at once."""
    sys.stdout.write(line.encode("utf-8", "backslashreplace").decode() + "\n")
    sys.stdout.flush()


CANARIES = (
    ("optimal", "--flops", "1e21", "--json"),
    ("loss", "--params", "7B", "--tokens", "1T", "--gpu", "h100-sxm"),
    ("memory", "7B", "--gpu", "h100-sxm", "--format", "csv"),
    ("plot", "isoflop", "--flops", "1e21"),
    ("compare", "--flops", "1e22"),
    ("plot", "loss", "--flops", "1e21", "-o", "picture.png"),
)
"""Questions whose answers no other call may change."""


def canaries(sandbox: Sandbox) -> list[tuple[int | None, str, str]]:
    """Return the answers to the questions that no call may change; the first time they also warm the imports up."""
    answers = [sandbox.call(grammar.Case(name="canary", arguments=words)) for words in CANARIES]
    return [(each.status, each.out, each.err) for each in answers]


def main(words: list[str] | None = None) -> int:
    """Try cases and report what was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("cases", type=int, help="how many cases")
    parser.add_argument("seed", type=int, nargs="?", default=0, help="the seed that they follow from")
    parser.add_argument("--from", dest="start", type=int, default=0, metavar="INDEX", help="the first index")
    parser.add_argument("--only", metavar="COMMAND", help="one command ('presets list'), or one oracle by name")
    parser.add_argument("--processes", action="store_true", help="run each case as a process of its own")
    parser.add_argument("--shrink", action="store_true", help="make the first case of each finding small")
    parser.add_argument("--show", action="store_true", help="write every case before it runs")
    options = parser.parse_args(words)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, resource.RLIM_INFINITY))
    found, began, slowest = Collection(), cpu_seconds(), 0.0
    with Sandbox() as sandbox:
        before = canaries(sandbox)
        for index in range(options.start, options.start + options.cases):
            name = f"{options.seed}:{index}"
            oracle = None if options.processes else oracles.chosen(options.seed, index, only=options.only)
            if oracle is not None:
                if options.show:
                    say(f"{name} {oracle.__name__}")
                for finding in oracles.consulted(sandbox, oracle, options.seed, index):
                    found.add(finding, name, None)
                continue
            case = grammar.case(options.seed, index, only=options.only)
            if options.processes:
                # the others are made inside this process
                case = replace(case, surroundings="interrupted" if index % _INTERRUPTED == 0 else "")
            if options.show:
                say(f"{name} {reproduction(case)}")
            start = cpu_seconds()
            for finding in tried(sandbox, case, apart=options.processes):
                found.add(finding, name, case)
            slowest = max(slowest, cpu_seconds() - start)
            if index % _AGAIN == 0 and not options.processes:
                first, second = sandbox.call(case), sandbox.call(case)
                if (first.status, first.out, first.err) != (second.status, second.out, second.err):
                    found.add(Finding("state leak", f"{case.command}: a second call differs"), name, case)
            if index % _PROGRESS == 0 and index > options.start:
                sys.stderr.write(f"{index - options.start} cases, {sum(found.counts.values())} findings\n")
            if index % _CANARY == 0 and canaries(sandbox) != before:
                found.add(Finding("state leak", "the answer to a fixed question has changed"), name, case)
        found.report(sandbox, shrink=options.shrink and not options.processes)
    total = cpu_seconds() - began
    kinds = ", ".join(f"{count} {kind}" for kind, count in _kinds(found).items()) or "nothing found"
    say(f"{options.cases} cases of seed {options.seed} from {options.start} in {total:.0f} s of CPU "
        f"(slowest {slowest:.1f} s): {kinds}")  # fmt: skip
    return 1 if found.counts else 0


def _kinds(found: Collection) -> Counter[str]:
    kinds: Counter[str] = Counter()
    for (kind, _), count in found.counts.items():
        kinds[kind] += count
    return kinds


if __name__ == "__main__":
    sys.exit(main())
