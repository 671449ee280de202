"""What can be seen of a program that has ended, so that two runs can be compared."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgeflow.engine.journal import Journal


@dataclass
class Told:
    """All that can be seen of a program that has ended."""

    ends: dict[str, Any]
    """How each instance ended."""
    done: dict[str, list[Any]]
    """The completions of each, in their order."""
    loose: dict[str, dict[str, str]]
    """What of each was given up, by path."""
    state: dict[str, Any]
    progress: Any
    sent: list[Any]
    oddities: list[str]
    """What should not be as it is, however it came to be."""
    effects: Counter[str]
    """What ended well, steps and undos, and how often."""

    def without(self, instances: set[str]) -> Told:
        """Leave out some children."""

        def left(found: dict[str, Any]) -> dict[str, Any]:
            return {
                key: found[key]
                for key in found
                if key not in instances and not any(b in f" {key}" for b in below)
            }

        below = tuple(f" {name}/child" for name in instances)
        effects = {
            k: n for k, n in self.effects.items() if not any(b in k for b in below)
        }
        return replace(
            self,
            ends=left(self.ends),
            done=left(self.done),
            loose=left(self.loose),
            state=left(self.state),
            effects=Counter(effects),
        )


def told_of(
    journals: Mapping[str, Journal], sent: list[Any], effects: Counter[str]
) -> Told:
    """Tell of some instances, by their ids; the names of the places stand for these."""
    names = {id_: name_of(journal) for id_, journal in journals.items()}

    def plain(value: Any) -> Any:
        text = json.dumps(value, sort_keys=True)
        for id_, name in names.items():
            text = text.replace(id_, name)
        return json.loads(text)

    named = {names[id_]: journal for id_, journal in journals.items()}
    return Told(
        ends={name: plain(end_of(journal)) for name, journal in named.items()},
        done={name: plain(done_of(journal)) for name, journal in named.items()},
        loose={name: loose_of(journal) for name, journal in named.items()},
        state={
            name: {key: value.decode() for key, value in journal.state.items()}
            for name, journal in named.items()
        },
        progress=journals["root"].progress,
        sent=sent,
        oddities=[odd for journal in journals.values() for odd in oddities_of(journal)],
        effects=effects,
    )


def name_of(journal: Journal) -> str:
    given = journal.start["input"]
    return "/".join(map(str, given["place"])) if given else "root"


def end_of(journal: Journal) -> list[Any]:
    end = {key: value for key, value in journal.end.items() if key != "causes"}
    return [journal.status, end]


def without(data: Any, keys: set[str]) -> Any:
    """Leave some keys out of plain JSON, however deep."""
    if isinstance(data, dict):
        fields = cast("dict[str, object]", data).items()
        return {key: without(each, keys) for key, each in fields if key not in keys}
    if isinstance(data, (list, tuple)):
        return [without(each, keys) for each in cast("list[object]", data)]
    return data


def timeless(data: Any) -> Any:
    """Leave out what says when."""
    return without(data, {"at", "took", "after", "sent_at", "retry_at"})


def unordered(data: Any) -> Any:
    """Leave out in which order things ended."""
    left = without(data, {"n", "since"})
    if isinstance(left, dict):
        fields = cast("dict[str, object]", left).items()
        return {key: unordered(each) for key, each in fields}
    if isinstance(left, list):
        return sorted(map(unordered, cast("list[object]", left)), key=repr)
    return left


def done_of(journal: Journal) -> list[Any]:
    return [timeless(entry.data) for entry in journal.entries.in_order()]


def loose_of(journal: Journal) -> dict[str, str]:
    return {
        str(entry.path): entry.status
        for entry in journal.entries.values()
        if not entry.is_done
    }


def oddities_of(journal: Journal) -> list[str]:
    """Tell what is amiss in how an instance that has ended was undone."""
    entries = journal.entries.in_order()
    undone = [entry.key[:-2] for entry in entries if entry.kind == "undo"]
    done = [entry for entry in entries if entry.status == "completed"]
    points = [entry.data["n"] for entry in done if entry.kind == "checkpoint"]
    steps = [entry for entry in done if "undo" in entry.data]
    late = [step.key for step in steps if step.data["n"] > journal.checkpoint]
    early = {step.key for step in steps if step.data["n"] < max(points, default=0)}
    owed = late[::-1] if journal.status in ("failed", "cancelled") else []
    found = [f"{key} is undone in spite of a checkpoint" for key in early & {*undone}]
    if undone != owed:
        found.append(f"undone is {undone}, not {owed}")
    return found
