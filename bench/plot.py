"""The results as one picture: a panel a scenario, a bar a peer.

matplotlib is imported here only; it is of the dependency group `bench`.
"""

# pyright: reportUnknownMemberType=false
# The types of matplotlib are not whole.

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import matplotlib as mpl
from matplotlib.figure import Figure
from registry import PEERS
from report import TITLES
from samples import Metric, shown

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from samples import Samples

WIDTH = 10.0
"""Inches, of 100 pixels."""
TOP = 0.75
"""Inches of height for the caption."""
BAR = 0.165
"""Inches of height for each bar."""
ABOVE, BELOW = 0.3, 0.42
"""Inches of height for the title of a panel, and for its axis and a gap."""
NAMES, MARGIN = 1.7, 0.2
"""Inches of width for the names of peers, and for a gap behind the bars."""
BARS = WIDTH / 2 - NAMES - MARGIN
"""Inches of width for the bars."""
EDGEFLOW, FLOOR, OTHER = "#c2410c", "#1d4ed8", "#b4b8bf"
TEXT, PALE, GREY = "#1f2328", "#57606a", "#6b7280"
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: small, and can be searched
    "svg.hashsalt": "edgeflow",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial"],
    "font.size": 8,
    "text.color": TEXT,
    "axes.edgecolor": "#d0d7de",
    "xtick.color": PALE,
    "axes.axisbelow": True,
}


class Panel(NamedTuple):
    """Which metric of a scenario is shown."""

    scenario: str
    metric: str
    unit: str
    more_is_better: bool


class Bar(NamedTuple):
    """What one peer reached."""

    peer: str
    label: str
    value: float
    ratio: float | None
    """Over what the floor of this peer reached."""


PANELS = (
    Panel("s1", "steps_per_s", "steps/s", more_is_better=True),
    Panel("s2", "steps_per_s", "steps/s", more_is_better=True),
    Panel("s3", "workflows_per_s", "workflows/s", more_is_better=True),
    Panel("s4", "resume", "s", more_is_better=False),
    Panel("s5", "seconds", "turns/s", more_is_better=True),
    Panel("s6", "first_step_s", "s to the first step", more_is_better=False),
    Panel("s7", "overhead_p50_ms", "ms overhead", more_is_better=False),
    Panel("s8", "branches_per_s", "branches/s", more_is_better=True),
    Panel("s9", "p50_ms", "ms, median", more_is_better=False),
    Panel("parked", "kib_per_instance", "KiB/instance", more_is_better=False),
)


def bars(samples: Samples, panel: Panel) -> list[Bar]:
    """Give the bars of a panel, best first; and what a peer reaches when tuned.

    Of the floors, those that peers are compared with are enough.
    """
    metric = panel.metric
    if metric == "resume":
        metric = longest_resume(samples)
    floors = {each.floor for each in PEERS.values() if not is_floor(each.name)}
    found: list[Bar] = []
    for peer in samples.peers(panel.scenario):
        if is_floor(peer) and peer not in floors:
            continue
        floor = value_of(samples, Metric(PEERS[peer].floor, panel.scenario, metric))
        for name, label in ((metric, peer), (f"tuned_{metric}", f"{peer}, tuned")):
            value = value_of(samples, Metric(peer, panel.scenario, name))
            if value:
                ratio = value / floor if floor and not is_floor(peer) else None
                found.append(Bar(peer, label, value, ratio))
    return sorted(found, key=lambda bar: bar.value, reverse=panel.more_is_better)


def value_of(samples: Samples, metric: Metric) -> float | None:
    """Give the median; of turns the rate, since not all peers make as many."""
    value = samples.median(metric)
    if value and metric.name == "seconds":
        return samples.sizes[metric] / value
    return value


def longest_resume(samples: Samples) -> str:
    """Give the metric of S4 with the most steps."""
    sizes = {
        int(found[1]): name
        for name in samples.metrics("s4")
        if (found := re.fullmatch(r"resume_(\d+)_s", name))
    }
    return sizes[max(sizes)] if sizes else ""


def is_floor(peer: str) -> bool:
    return peer.startswith("floor-")


def is_edgeflow(peer: str) -> bool:
    return peer.startswith("edgeflow-")


def colour(peer: str) -> str:
    return EDGEFLOW if is_edgeflow(peer) else FLOOR if is_floor(peer) else OTHER


def draw(samples: Samples, file: Path) -> None:
    """Write the picture as SVG, the same for the same results."""
    drawn = [(panel, found) for panel in PANELS if (found := bars(samples, panel))]
    ends = [TOP, TOP]
    places: list[tuple[int, float]] = []
    for _, found in drawn:
        column = ends.index(min(ends))
        places.append((column, ends[column] + ABOVE))
        ends[column] += ABOVE + BAR * len(found) + BELOW
    high = max(ends)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, high), facecolor="white")
        caption(figure, samples)
        for (panel, found), (column, top) in zip(drawn, places, strict=True):
            tall = BAR * len(found)
            left = column * WIDTH / 2 + NAMES
            axes = figure.add_axes(
                (left / WIDTH, 1 - (top + tall) / high, BARS / WIDTH, tall / high)
            )
            fill(axes, panel, found)
            title(axes, panel, samples)
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})


def caption(figure: Figure, samples: Samples) -> None:
    """Say what colours and numbers mean."""
    high = figure.get_figheight()
    words = (
        ("edgeflow", EDGEFLOW, 0.15),
        ("floor: no engine, the same writes", FLOOR, 1.25),
        ("other engines", GREY, 4.15),
    )
    for text, hue, x in words:
        figure.text(x / WIDTH, 1 - 0.25 / high, f"■ {text}", color=hue, fontsize=10)
    scale = "" if samples.scale == 1 else f" All counts × {samples.scale:g}."
    figure.text(
        0.15 / WIDTH,
        1 - 0.5 / high,
        "Medians, best first; axes are logarithmic. In brackets: the ratio to the "
        f"floor, in memory for what keeps all in memory, else on SQLite.{scale}",
        color=PALE,
    )


def fill(axes: Axes, panel: Panel, found: list[Bar]) -> None:
    """Draw the bars of a panel, with names before and values behind them."""
    values = [bar.value for bar in found]
    least, most = min(values), max(values)
    left = least / max(2, (most / least) ** 0.2)
    places = range(len(found))
    hues = [colour(bar.peer) for bar in found]
    widths = [value - left for value in values]
    axes.barh(places, widths, height=0.78, left=left, color=hues, clip_on=False)
    axes.set_xscale("log")
    axes.set_xlim(left, left * (most / left) ** 1.45)  # values stand behind the bars
    axes.set_ylim(len(found) - 0.5, -0.5)
    decades = [10.0**power for power in range(-7, 10) if left < 10.0**power <= most]
    axes.set_xticks(decades[:: len(decades) // 6 + 1])
    axes.xaxis.set_major_formatter(lambda value, _: shown(value))
    axes.minorticks_off()
    axes.set_yticks([])
    axes.tick_params(axis="x", length=2, labelsize=7)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    for place, bar in zip(places, found, strict=True):
        axes.annotate(
            bar.label,
            (0, place),
            xycoords=("axes fraction", "data"),
            xytext=(-4, 0),
            textcoords="offset points",
            ha="right",
            va="center",
            color=TEXT if colour(bar.peer) == OTHER else colour(bar.peer),
            fontweight="bold" if is_edgeflow(bar.peer) else "normal",
        )
        ratio = f"  ({float(f'{bar.ratio:.2g}'):,g} ×)" if bar.ratio else ""
        axes.annotate(
            shown(bar.value) + ratio,
            (bar.value, place),
            xytext=(3, 0),
            textcoords="offset points",
            va="center",
        )


def title(axes: Axes, panel: Panel, samples: Samples) -> None:
    """Say what a panel shows, and which end is the good one."""
    words = TITLES[panel.scenario]
    if panel.metric == "resume":
        words = words.replace("N", longest_resume(samples).split("_")[1])
    name = "" if panel.scenario == "parked" else f"{panel.scenario.upper()}  "
    better = "more is better" if panel.more_is_better else "less is better"
    places: dict[str, Any] = {
        "xycoords": "axes fraction",
        "textcoords": "offset points",
    }
    start = 72 * (0.15 - NAMES)
    axes.annotate(
        f"{name}{words}", (0, 1), xytext=(start, 7), fontweight="bold", **places
    )
    axes.annotate(
        f"{panel.unit}, {better}",
        (1, 1),
        xytext=(0, 7),
        ha="right",
        color=PALE,
        **places,
    )
