"""The lines of one or more files of results, as samples of metrics."""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from registry import PEERS, SCENARIOS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path


class Metric(NamedTuple):
    """One number that a peer gives in a scenario."""

    peer: str
    scenario: str
    name: str


class Turn(NamedTuple):
    """One turn of one run: what was measured side by side."""

    run: str
    number: int


class Samples:
    """What was measured, by metric and turn.

    Raises:
        SystemExit: if the lines are of more than one scale.
    """

    def __init__(self, lines: Iterable[dict[str, Any]]) -> None:
        self.heads: list[dict[str, Any]] = []
        self.failures: dict[tuple[str, str], str] = {}
        self.sizes: dict[Metric, int] = {}
        self.values: dict[Metric, dict[Turn, float]] = defaultdict(dict)
        for line in lines:
            if "peers" in line:
                self.heads.append(line)
                continue
            metric = Metric(line["peer"], line["scenario"], line["metric"])
            if metric.name == "failed":
                self.failures[metric.peer, metric.scenario] = line["why"]
                continue
            self.values[metric][Turn(line["run"], line["turn"])] = line["value"]
            if "n" in line:
                self.sizes[metric] = line["n"]
        scales = {head["scale"] for head in self.heads}
        if len(scales) > 1:
            found = " and ".join(f"{scale:g}" for scale in sorted(scales))
            raise SystemExit(f"These are results of scales {found}: give those of one.")
        self.scale: float = scales.pop() if scales else 1.0

    @property
    def scenarios(self) -> list[str]:
        found = {metric.scenario for metric in self.values}
        return [scenario for scenario in SCENARIOS if scenario in found]

    def peers(self, scenario: str) -> list[str]:
        """Give who was measured in a scenario, in the order of the registry."""
        found = {metric.peer for metric in self.values if metric.scenario == scenario}
        return [name for name in PEERS if name in found]

    def metrics(self, scenario: str) -> list[str]:
        names = (m.name for m in self.values if m.scenario == scenario)
        return list(dict.fromkeys(names))

    def all(self, metric: Metric) -> list[float]:
        return list(self.values[metric].values()) if metric in self.values else []

    def median(self, metric: Metric) -> float | None:
        found = self.all(metric)
        return statistics.median(found) if found else None

    def pairs(self, one: Metric, other: Metric) -> list[tuple[float, float]]:
        """Give what two metrics were in the same turns.

        Where they share none, their medians stand for all turns.
        """
        ones, others = self.values.get(one, {}), self.values.get(other, {})
        shared = [(ones[turn], others[turn]) for turn in ones if turn in others]
        if shared or not (ones and others):
            return shared
        values = ones.values(), others.values()
        return [(statistics.median(values[0]), statistics.median(values[1]))]


def read(paths: Iterable[Path]) -> Samples:
    """Read files of results."""
    texts = (path.read_text("utf-8") for path in paths)
    return Samples(json.loads(line) for text in texts for line in text.splitlines())


def shown(value: float) -> str:
    """Write a number with four digits, or with three below 1."""
    if abs(value) < 1:
        return format(Decimal(f"{value:.3g}"), "f")
    rounded = float(f"{value:.4g}")
    return f"{rounded:,.0f}" if abs(rounded) >= 1000 else f"{rounded:g}"  # noqa: PLR2004  where separators begin


def summary(values: Sequence[float], unit: str = "") -> str:
    """Write the median, with the least and the most where these differ."""
    if not values:
        return ""
    text = shown(statistics.median(values)) + unit
    least, most = shown(min(values)), shown(max(values))
    return text if least == most else f"{text} ({least}..{most})"
