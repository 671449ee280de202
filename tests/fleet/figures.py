"""What a fleet's lines say about its speed."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.fleet.judge import Life


def latencies(lives: Sequence[Life]) -> dict[str, dict[str, float]]:
    """Give how late messages and wake-ups came to the bodies that waited, in s.

    A message is late from when it was sent and awaited; `beside` is one that was
    awaited while a step ran.
    """
    late: defaultdict[str, list[float]] = defaultdict(list)
    waits: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    told = (line for life in lives for line in life.lines)
    lines = sorted(told, key=lambda line: line[1])
    for word, at, instance, *values in lines:
        match word, values:
            case "waits", [name]:
                waits[instance, name].append(at)
            case "received", [name, sent_at]:
                since = waits[instance, name]
                if since:
                    kind = "beside" if name == "ticket" else "message"
                    late[kind].append(at - max(sent_at, since.pop(0)))
            case "woke", [until]:
                late["wake"].append(at - until)
            case "claimed", [seconds, _]:
                late["claim"].append(seconds)
            case _:
                pass
    return {kind: spread(times) for kind, times in sorted(late.items())}


def spread(times: Iterable[float]) -> dict[str, float]:
    """Give the median, the 99th percentile and the longest, in s; and how many."""
    ordered = sorted(times)
    return {
        "count": len(ordered),
        "median": round(ordered[len(ordered) // 2], 4),
        "p99": round(ordered[len(ordered) * 99 // 100], 4),
        "longest": round(ordered[-1], 4),
    }
