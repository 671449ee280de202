"""What a fleet did, held against what it must not do: the evidence is its lines.

Who opened an instance owns it up to the next OPEN, which the numbers of frames put
in order: no clock is asked who was first. A place is a step's number and its attempt.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from edgeflow.testing.processes.log import Line

Place: TypeAlias = tuple[int, int]
"""A step, counted from 1, and the attempt at it."""
Message: TypeAlias = tuple[str, Any]
"""Its name and its body."""


@dataclass(frozen=True, slots=True)
class Life:
    """What one process told, and how it ended."""

    name: str
    lines: Sequence[Line]
    ended: float = float("inf")
    """When, in s since the epoch."""


@dataclass(frozen=True, slots=True)
class End:
    """How an instance stands when all is over."""

    status: str
    output: Any = None
    unread: int = 0
    """Messages that it has not received."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """How it has to stand: the places of its steps, and the messages that it got."""

    places: Sequence[Place]
    messages: Sequence[Message]


@dataclass(slots=True)
class Owner:
    """A life, from its OPEN of an instance up to the next OPEN of it."""

    life: Life
    seq: int
    """Of its OPEN."""
    at: float
    """When that was acknowledged, in s since the epoch."""
    begun: list[Place] = field(default_factory=list[Place])
    durable: set[Place] = field(default_factory=set[Place])
    """The places that an observer was told are durable."""
    asks: bool = False
    """Whether it has asked to write that it rests, and begun nothing since."""
    rests: bool = False
    """Whether that is written."""

    def hear(self, word: str, values: Sequence[Any]) -> None:
        """Take note of a line about the instance."""
        match word, values:
            case "asks", [status]:
                self.asks = status != "running"
            case "wrote", _:
                self.rests = self.asks
            case "durable", [place]:
                self.durable.add(tuple(place))
            case "begins", [place, _]:
                self.begun.append(tuple(place))
                self.rests = self.asks = False
            case _:
                pass


@dataclass(slots=True)
class Verdict:
    """What is wrong, and what happened."""

    complaints: list[str] = field(default_factory=list[str])
    repeated: Counter[str] = field(default_factory=Counter[str])
    """Attempts that began again, by how the instance was lost to who begins them."""
    counts: Counter[str] = field(default_factory=Counter[str])
    """OPENs, by how the instance was lost to who opens it; see `_how`."""


def judge(
    lives: Sequence[Life], ends: Mapping[str, End], wanted: Mapping[str, Wanted]
) -> Verdict:
    """Say what is wrong."""
    verdict = Verdict()
    owners, keys = _owners(lives, verdict), _keys(lives, verdict)
    for instance in sorted(owners.keys() | ends.keys() | wanted.keys()):
        mine = owners.get(instance, [])
        wrong = [*_order(mine), *_repeats(mine, verdict), *_again(mine)]
        if instance not in wanted:
            wrong.append("nobody started it")
        elif instance not in ends:
            wrong.append("it is lost")
        else:
            wrong += _end(ends[instance], wanted[instance], keys.get(instance, {}))
        verdict.complaints += [f"{instance}: {what}" for what in wrong]
    return verdict


def _owners(lives: Iterable[Life], verdict: Verdict) -> dict[str, list[Owner]]:
    """List who owned each instance, the first one first."""
    found: defaultdict[str, list[Owner]] = defaultdict(list)
    for life in lives:
        latest: dict[str, Owner] = {}
        for word, at, instance, *values in life.lines:
            if word == "opened":
                latest[instance] = Owner(life, values[0], at)
                found[instance].append(latest[instance])
            elif instance in latest:
                latest[instance].hear(word, values)
            elif word == "begins":
                verdict.complaints.append(
                    f"{instance}: {life.name} begins {values[0]} without an OPEN"
                )
    for owners in found.values():
        owners.sort(key=lambda owner: owner.seq)
    return found


def _order(owners: Sequence[Owner]) -> Iterable[str]:
    """Never does an owner begin what lies before where the body has been."""
    last: Place = (0, 0)
    for owner in owners:
        if len(set(owner.begun)) < len(owner.begun):
            yield f"{owner.life.name} begins a step twice under one OPEN: {owner.begun}"
        for place in owner.begun:
            if place < last:
                yield f"{owner.life.name} begins {place} though {last} had begun"
            last = max(last, place)


def _repeats(owners: Sequence[Owner], verdict: Verdict) -> Iterable[str]:
    """Only what an owner that was lost had in flight is begun again."""
    begun: dict[Place, Owner] = {}
    for before, owner in zip([None, *owners], owners, strict=False):
        how = _how(before, owner)
        verdict.counts[how] += 1
        for place in owner.begun:
            if place in begun and begun[place] is not owner:
                verdict.repeated[how] += 1
                if begun[place].rests:
                    yield (
                        f"{owner.life.name} begins {place} again, though "
                        f"{begun[place].life.name} had begun it and come to rest"
                    )
            begun[place] = owner


def _how(before: Owner | None, owner: Owner) -> str:
    """Say what the last owner was when this one came."""
    if before is None:
        return "first"
    if before.rests:
        return "stayed" if before.life is owner.life else "moved"
    if before.life is owner.life:
        return "reopened"
    is_gone = before.life.ended <= owner.at
    return "taken from the dead" if is_gone else "taken from the living"


def _again(owners: Sequence[Owner]) -> Iterable[str]:
    """What an observer was told is durable is begun by no later owner."""
    durable: dict[Place, Owner] = {}
    for owner in owners:
        for place in owner.begun:
            if place in durable:
                by = durable[place].life.name
                yield f"{owner.life.name} begins {place}, which {by} had made durable"
        durable |= dict.fromkeys(owner.durable, owner)


def _keys(lives: Iterable[Life], verdict: Verdict) -> dict[str, dict[Place, str]]:
    """Give the key of each place; it is the same in all processes."""
    found: defaultdict[str, dict[Place, str]] = defaultdict(dict)
    for life in lives:
        for word, _, instance, *values in life.lines:
            if word == "begins":
                place, key = tuple(values[0]), values[1]
                if found[instance].setdefault(place, key) != key:
                    verdict.complaints.append(f"{instance}: {place} has two keys")
    return found


def _end(end: End, wanted: Wanted, keys: Mapping[Place, str]) -> Iterable[str]:
    """It has ended, with what its steps and its neighbours gave it, each once."""
    if end.status != "completed":
        yield f"it is {end.status}"
        return
    done = [(tuple(place), key) for place, key in end.output["done"]]
    if done != [(place, keys.get(place)) for place in wanted.places]:
        yield f"its steps gave {done}"
    got = [(name, body) for _, name, body in end.output["got"]]
    lost, strange = (
        [*map(repr, [m for m in these if m not in those])]
        for these, those in ((wanted.messages, got), (got, wanted.messages))
    )
    if lost or strange:
        yield f"messages: {lost} are lost, {strange} were not sent"
    ids = {message_id for message_id, *_ in end.output["got"]}
    if len(ids) < len(got) or len(got) > len(wanted.messages):
        yield f"messages: some were received twice: {got}"
    if end.unread:
        yield f"{end.unread} messages are left in its inbox"
