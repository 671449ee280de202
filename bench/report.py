"""The results as Markdown: where they are from, the targets, a table a scenario."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

from registry import PEERS
from samples import Metric, shown, summary
from targets import verdicts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from samples import Samples

TITLES = {
    "s1": "1,000 steps in sequence, each durable",
    "s2": "1,000 steps in sequence, durable with the end",
    "s3": "1,000 workflows of 5 steps, 100 at a time",
    "s4": "resume after N steps",
    "s5": "a loop of 10,000 turns",
    "s6": "cold start",
    "s7": "sleep 50 ms durably",
    "s8": "join of 1,000 branches",
    "s9": "message until completed",
    "parked": "10,000 instances parked in a worker",
}


def markdown(samples: Samples, plot: str | None = None) -> str:
    """Write all of it; `plot` is the name of a file beside this one."""
    parts = [
        ["# Results"],
        *(head(each) for each in samples.heads),
        [f"![Each scenario, and each peer in it]({plot})"] if plot else [],
        ["## Targets", *targets(samples)],
        *(
            [f"## {s.upper()}: {TITLES[s]}", *scenario(samples, s)]
            for s in samples.scenarios
        ),
        failures(samples),
    ]
    return "\n\n".join(chain.from_iterable(parts)) + "\n"


def head(line: dict[str, Any]) -> Iterator[str]:
    """Say when and where one run was, and which versions took part."""
    found = {
        name: each for name, each in line["peers"].items() if "missing" not in each
    }
    yield (
        f"{line['run']}, edgeflow at {line['commit']}, scale {line['scale']:g}, "
        f"turns: {line['turns']}. {line['cores']} cores of {line['processor']}, "
        f"{line['kernel']}. Data on {line['files']}, where 4 KiB are durable in "
        f"{shown(line['fdatasync_us'])} µs (median)."
    )
    kinds: dict[tuple[str, ...], list[str]] = {}
    for name, each in found.items():
        package = f"{PEERS[name].distribution} {each['version']}"
        kinds.setdefault((package, each["runtime"], each["store"]), []).append(name)
    rows = [(", ".join(names), *kind) for kind, names in kinds.items()]
    yield table(("peers", "package", "runs on", "store"), rows)
    pythons = {each["runtime"] for n, each in found.items() if not PEERS[n].node}
    if len(pythons) > 1:
        yield f"**Not all run on one Python ({', '.join(sorted(pythons))}).**"
    stores = {each["store"] for each in found.values()}
    libraries = {store for store in stores if store.startswith("SQLite")}
    if len(libraries) > 1:
        yield f"**Not all have one SQLite ({', '.join(sorted(libraries))}).**"
    if missing := line["peers"].keys() - found.keys():
        yield "Left out:"
        names = (name for name in PEERS if name in missing)
        yield "\n".join(f"- {n}: {line['peers'][n]['missing']}." for n in names)


def targets(samples: Samples) -> Iterator[str]:
    if samples.scale != 1:
        yield f"**They are for scale 1; at scale {samples.scale:g} they say little.**"
    yield table(("scenario", "target", "reached", ""), verdicts(samples))


def scenario(samples: Samples, name: str) -> Iterator[str]:
    """Give peers down, metrics across."""
    metrics, peers = samples.metrics(name), samples.peers(name)
    rows = [
        (peer, *(summary(samples.all(Metric(peer, name, each))) for each in metrics))
        for peer in peers
    ]
    yield table(("peer", *metrics), rows)


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def failures(samples: Samples) -> Iterator[str]:
    if samples.failures:
        yield "## Failed"
        yield "\n".join(
            f"- {peer} {name}: {why.splitlines()[-1]}"
            for (peer, name), why in samples.failures.items()
        )
