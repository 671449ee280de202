"""What edgeflow is to reach, and whether it has."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from samples import Metric, summary

if TYPE_CHECKING:
    from collections.abc import Iterator

    from samples import Samples

Than = Literal["times", "plus", "alone"]


@dataclass(frozen=True)
class Target:
    """That one metric is at least, or at most, what another one says.

    With `times` the limit is a factor on the other metric, with `plus` it is added to
    it, and `alone` there is no other.
    """

    metric: Metric
    sign: Literal[">=", "<="]
    limit: float
    than: Than = "alone"
    other: Metric | None = None

    def text(self) -> str:
        """Say what is to be reached."""
        mine = f"{self.metric.peer} {self.metric.name}"
        sign = {">=": "≥", "<=": "≤"}[self.sign]
        if self.other is None:
            return f"{mine} {sign} {self.limit:,}"
        other = self.metric_of_other(self.other)
        if self.than == "plus":
            return f"{mine} {sign} {other} + {self.limit:,}"
        return f"{mine} {sign} {self.limit:,} × {other}"

    def metric_of_other(self, other: Metric) -> str:
        """Name the other metric by what is different."""
        here = self.metric
        words = [
            other.peer if other.peer != here.peer else "",
            other.scenario.upper() if other.scenario != here.scenario else "",
            other.name if other.name != here.name else "",
        ]
        return " ".join(filter(None, words))

    def reached(self, samples: Samples) -> list[float]:
        """Give the ratio (or difference, or value) of each turn."""
        if self.other is None:
            return samples.all(self.metric)
        pairs = samples.pairs(self.metric, self.other)
        if self.than == "plus":
            return [mine - other for mine, other in pairs]
        return [mine / other for mine, other in pairs if other]

    def judge(self, samples: Samples) -> Verdict:
        """Compare the median of all turns with the limit."""
        found = self.reached(samples)
        here = self.metric.scenario.upper(), self.text()
        if not found:
            return Verdict(*here, "", "not measured")
        median = statistics.median(found)
        met = median >= self.limit if self.sign == ">=" else median <= self.limit
        unit = {"times": " ×", "plus": " more", "alone": ""}[self.than]
        return Verdict(*here, summary(found, unit), "met" if met else "NOT MET")


class Verdict(NamedTuple):
    """What became of a target."""

    scenario: str
    target: str
    reached: str
    verdict: str


FULL, MEMORY = "edgeflow-sqlite-full", "edgeflow-memory"
FLOOR, RIVET, DBOS = "floor-hop-full", "rivet-sqlite", "dbos-sqlite"
ASYNCIO = Metric(FULL, "s6", "asyncio_import_cpu_ms")


def than(
    peer: str,
    scenario: str,
    name: str,
    sign: Literal[">=", "<="],
    *others: tuple[float, str],
) -> Iterator[Target]:
    """Give a target for each other peer, in the same metric."""
    for factor, other in others:
        mine, theirs = Metric(peer, scenario, name), Metric(other, scenario, name)
        yield Target(mine, sign, factor, "times", theirs)


def own(peer: str, scenario: str, name: str, limit: float) -> Target:
    return Target(Metric(peer, scenario, name), "<=", limit)


def within(
    peer: str, factor: float, one: tuple[str, str], other: tuple[str, str]
) -> Target:
    """Give a target that compares two metrics of one peer."""
    return Target(Metric(peer, *one), "<=", factor, "times", Metric(peer, *other))


TARGETS = (
    *than(FULL, "s1", "steps_per_s", ">=", (0.85, FLOOR), (1, RIVET), (8, DBOS)),
    *than(MEMORY, "s1", "steps_per_s", ">=", (0.17, "floor-memory")),
    *than(FULL, "s2", "steps_per_s", ">=", (0.25, FLOOR), (5, RIVET)),
    *than(FULL, "s3", "workflows_per_s", ">=", (0.5, FLOOR), (5, RIVET), (100, DBOS)),
    within(FULL, 11, ("s4", "resume_10000_s"), ("s4", "resume_1000_s")),
    own(FULL, "s4", "cpu_us_per_replayed_step_10000", 25),
    own(FULL, "s5", "last_tenth_over_first", 1.2),
    own(FULL, "s5", "stored_bytes", 65536),
    own(FULL, "s5", "rss_growth_mib", 5),
    *(
        Target(Metric(FULL, "s6", name), "<=", 30, "plus", ASYNCIO)
        for name in ("import_cpu_ms", "used_import_cpu_ms")
    ),
    *than(FULL, "s6", "first_step_s", "<=", (1.6, FLOOR)),
    *than(FULL, "s7", "overhead_p50_ms", "<=", (1.5, FLOOR)),
    *than(FULL, "s8", "branches_per_s", ">=", (0.3, FLOOR)),
    *than(FULL, "s9", "p50_ms", "<=", (1.5, FLOOR)),
    own(FULL, "parked", "kib_per_instance", 6),  # in memory the store counts, too
    *(
        within(peer, 2, ("parked", "cpu_us_per_wake"), ("s1", "cpu_us_per_step"))
        for peer in (MEMORY, FULL)
    ),
)


def verdicts(samples: Samples) -> list[Verdict]:
    return [target.judge(samples) for target in TARGETS]
