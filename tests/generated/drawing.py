"""How generated workflows are drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from hypothesis import strategies as st

from . import programs as p

if TYPE_CHECKING:
    from collections.abc import Callable

DEPTH = 4
LEAVES = 16
"""How many leaves a program has at most."""
MESSAGES = ("red", "blue")

Choice: TypeAlias = "st.SearchStrategy[p.Node]"

WAITS = st.integers(0, 6)
NAMES = st.sampled_from(("a", "b"))
SEVERAL = st.integers(1, 3)
STEPS: Choice = st.builds(
    p.Step,
    name=NAMES,
    wait=WAITS,
    fails=st.sampled_from((0,) * 8 + (1, 1, 2)),
    attempts=SEVERAL,
    back_off=st.sampled_from((0.0625, 1.0)),
    undo=st.sampled_from(("", "", "plain", "plain", "flaky", "broken")),
)
SLEEPS: Choice = st.builds(p.Sleep, wait=WAITS, by_asyncio=st.booleans())
RECEIVES: Choice = st.builds(
    p.Receive,
    name=st.sampled_from(MESSAGES),
    wait=st.none() | WAITS,
    many=st.booleans(),
)
SURE_RECEIVES: Choice = st.builds(p.Receive, name=st.sampled_from(MESSAGES))
NOW: Choice = st.just(p.Now())
OTHERS: Choice = st.sampled_from(
    (p.Send(), p.Status(), p.Version("gate"), *(p.Checkpoint(),) * 2, p.Raise())
)


@dataclass
class Draw:
    """One program that is being drawn, or one child of it."""

    draw: st.DrawFn
    leaves: int = LEAVES
    """How many may still be drawn."""
    is_child: bool = False
    """It gets no messages, calls nobody, and does not look at the time."""
    is_calm: bool = False
    """What comes of it does not depend on what ends first."""
    side_by_side: bool = False
    """Whether something else may run meanwhile."""

    def node(self, depth: int) -> p.Node:
        """Draw a tree of at most this depth."""
        if depth == 0 or self.leaves < 2:
            return self.leaf()
        kind = self.draw(st.sampled_from(CALM if self.is_calm else ANY))
        if self.is_child and kind in (p.Call, p.Start):
            kind = p.Series
        before = self.side_by_side
        self.side_by_side = before or kind in (p.Join, p.Map)
        found = BLOCKS[kind](self, depth - 1)
        self.side_by_side = before
        return found

    def leaf(self) -> p.Node:
        """Draw what has no parts."""
        self.leaves -= 1
        kinds = [STEPS, STEPS, STEPS, STEPS, SLEEPS, SLEEPS, OTHERS, OTHERS]
        if self.is_calm and not (self.is_child or self.side_by_side):
            kinds.append(SURE_RECEIVES)
        elif not (self.is_calm or self.is_child):
            kinds += [RECEIVES, NOW]
        return self.draw(self.draw(st.sampled_from(kinds)))

    def child(self, depth: int) -> p.Node:
        """Draw what a child does."""
        room = min(4, self.leaves)
        inner = Draw(self.draw, room, is_child=True, is_calm=self.is_calm)
        found = inner.node(depth)
        self.leaves -= room - inner.leaves
        return found

    def one(self, depth: int) -> p.Node:
        return self.node(self.draw(st.integers(0, depth)))

    def some(self, depth: int) -> tuple[p.Node, ...]:
        return tuple(self.one(depth) for _ in range(self.draw(SEVERAL)))

    def map(self, depth: int) -> p.Node:
        if self.is_calm:
            each = p.Try(self.one(depth), p.Status())
            return p.Map(each, self.draw(SEVERAL), self.draw(st.none() | SEVERAL))
        items = self.draw(SEVERAL)
        return p.Map(
            self.one(depth),
            items,
            limit=self.draw(st.none() | st.integers(1, 2)),
            min_ok=self.draw(st.none() | st.integers(1, items)),
            max_failed=self.draw(st.none() | st.integers(0, 1)),
            keyed=self.draw(st.booleans()),
        )

    def loop(self, depth: int) -> p.Node:
        turns, keep, every = (self.draw(st.integers(low, 4)) for low in (1, 0, 1))
        return p.Loop(self.one(depth), turns, keep, every)


BLOCKS: dict[type[p.Node], Callable[[Draw, int], p.Node]] = {
    p.Series: lambda d, depth: p.Series(d.some(depth)),
    p.Join: lambda d, depth: p.Join(d.some(depth)),
    p.Race: lambda d, depth: p.Race(d.some(depth)),
    p.Map: Draw.map,
    p.Loop: Draw.loop,
    p.Scope: lambda d, depth: p.Scope(d.draw(NAMES), d.one(depth)),
    p.Try: lambda d, depth: p.Try(d.one(depth), d.one(depth)),
    p.Finally: lambda d, depth: p.Finally(d.one(depth), d.one(depth)),
    p.Gather: lambda d, depth: p.Gather(d.some(depth), d.draw(st.booleans())),
    p.Group: lambda d, depth: p.Group(d.some(depth)),
    p.First: lambda d, depth: p.First(d.some(depth)),
    p.Timeout: lambda d, depth: p.Timeout(d.one(depth), d.draw(st.integers(1, 12))),
    p.Call: lambda d, depth: p.Call(d.child(depth)),
    p.Start: lambda d, depth: p.Start(d.child(depth)),
}
ANY = (*BLOCKS, p.Try, p.Try)
"""A failure that is caught leaves more to see than one that ends everything."""
CALM = (
    p.Series,
    p.Join,
    p.Map,
    p.Loop,
    p.Scope,
    p.Try,
    p.Try,
    p.Finally,
    p.Call,
    p.Start,
)
"""In these it makes no difference what ends first."""


@st.composite
def programs(draw: st.DrawFn, *, calm: bool = False) -> p.Program:
    """Draw a program; a calm one has one result, in whatever order things end."""
    room = Draw(draw, is_calm=calm)
    count = draw(st.integers(1, 5))
    items = tuple(room.node(DEPTH - 1) for _ in range(count))
    return p.Program(p.Series(items), draw(st.integers(2, 8)))
