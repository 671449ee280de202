"""Run peers side by side, and write down what came of it.

    uv run python bench/run
    uv run python bench/run -k 1 --scale 0.02     # does all of it work?
    uv run python bench/run --peers edgeflow-sqlite-full,floor-hop-full
    uv run python bench/run --table FILE.jsonl    # only the table

In each turn, each scenario runs for one peer after the other, in processes and folders
of their own. README.md says what is measured, and how peers are installed.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from machine import describe
from processes import measure
from registry import HERE, PEERS, SCENARIOS
from report import markdown
from samples import read
from targets import verdicts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from registry import Peer
    from samples import Samples

RESULTS = HERE / "results"


def take_turns(peers: Sequence[Peer], asked: argparse.Namespace, file: Path) -> None:
    """Run all peers in all scenarios; who fails once is left out of that one."""
    head = describe(peers, asked.scale, asked.turns)
    save(file, [head])
    present: list[Peer] = []
    for peer in peers:
        if missing := head["peers"][peer.name].get("missing"):
            say(f"{peer.name} is left out: {missing}.")
        else:
            present.append(peer)
    failed: set[tuple[Peer, str]] = set()
    for turn in range(asked.turns):
        for scenario in asked.scenarios:
            able = [peer for peer in present if scenario in peer.scenarios]
            for peer in rotated(able, turn):
                if (peer, scenario) in failed:
                    continue
                began = time.perf_counter()
                lines = measure(peer, scenario, asked.scale, asked.timeout)
                save(
                    file, [{**line, "run": head["run"], "turn": turn} for line in lines]
                )
                said = f"{time.perf_counter() - began:.1f} s"
                if lines and "why" in lines[-1]:
                    failed.add((peer, scenario))
                    said = lines[-1]["why"]
                say(f"turn {turn + 1} {scenario} {peer.name}: {said}")


def rotated(peers: list[Peer], turn: int) -> list[Peer]:
    """Let another one be the first in each turn."""
    first = turn % max(1, len(peers))
    return peers[first:] + peers[:first]


def save(file: Path, lines: Sequence[dict[str, Any]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as out:
        out.writelines(json.dumps(line) + "\n" for line in lines)


def beside(stem: Path, ending: str) -> Path:
    """Name a file; `stem` may be one of the others, which have the same name."""
    known = stem.suffix in {".jsonl", ".md", ".svg"}
    return stem.with_name((stem.stem if known else stem.name) + ending)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def publish(samples: Samples, stem: Path) -> None:
    """Write the Markdown and the plot beside the results."""
    plot, page = beside(stem, ".svg"), beside(stem, ".md")
    try:
        from plot import draw  # noqa: PLC0415  what it draws with may not be installed
    except ModuleNotFoundError as missing:
        say(f"There is no plot, for want of {missing.name}: install the group `bench`.")
        name = None
    else:
        draw(samples, plot)
        name = plot.name
    page.write_text(markdown(samples, name), "utf-8")
    say(f"See {page}.")


def names(known: Sequence[str], what: str) -> Any:
    """Give a parser of names with commas between them."""

    def parse(text: str) -> list[str]:
        found = [name for name in text.split(",") if name]
        if unknown := [name for name in found if name not in known]:
            raise argparse.ArgumentTypeError(
                f"there is no {what} {', '.join(unknown)}: there are {', '.join(known)}"
            )
        return found

    return parse


def number(kind: type[int | float]) -> Any:
    """Give a parser of numbers above 0."""

    def parse(text: str) -> int | float:
        found = kind(text)
        if not 0 < found < math.inf:
            raise argparse.ArgumentTypeError(f"{text} is no number above 0")
        return found

    parse.__name__ = kind.__name__  # argparse names it where `kind` refuses
    return parse


def existing(text: str) -> Path:
    """Parse the name of a file with results."""
    path = Path(text)
    try:
        read([path])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise argparse.ArgumentTypeError(f"{text} has no results: {error}") from error
    return path


def arguments(line: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("-k", "--turns", type=number(int), default=5, help="how often (default: 5)")
    add(
        "--peers",
        type=names(list(PEERS), "peer"),
        default=list(PEERS),
        help="names, with commas (default: each that is installed)",
    )
    add(
        "--scenarios",
        type=names(SCENARIOS, "scenario"),
        default=list(SCENARIOS),
        help=f"of {','.join(SCENARIOS)} (default: all)",
    )
    scale, timeout = "a factor on each count (default: 1)", "seconds for each scenario"
    add("--scale", type=number(float), default=1.0, help=scale)
    add("--timeout", type=number(float), default=240.0, help=timeout)
    add(
        "--out",
        type=Path,
        help="a name for the files; results that are there stay (default: the time)",
    )
    add(
        "--table",
        type=existing,
        nargs="+",
        metavar="FILE",
        help="only show these results",
    )
    return parser.parse_args(line)


def main() -> int:
    """Run what the command line says; 1 if a peer of ours failed."""
    asked = arguments()
    if asked.table:
        samples = read(asked.table)
        print(markdown(samples))
        if asked.out:
            publish(samples, asked.out)
        return 0
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%S")
    stem = asked.out or RESULTS / now
    file = beside(stem, ".jsonl")
    take_turns([PEERS[name] for name in asked.peers], asked, file)
    samples = read([file])
    publish(samples, stem)
    for each in verdicts(samples):
        print("  ".join(each))
    return int(any(PEERS[peer].ours for peer, _ in samples.failures))
