"""Random bodies: trees of outers, inners, waits and caught failures."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from .pieces import (
    INNERS,
    MANY,
    OUTERS,
    WAITS,
    a_step,
    caught,
    failing,
    for_ever,
    in_join,
    in_map,
    in_race,
    in_turn,
    timed_out,
)

if TYPE_CHECKING:
    from .bench import Piece
    from .pieces import Wrap

WRAPS: dict[str, Wrap] = {
    **{f"in {name}": wrap for name, wrap in OUTERS.items() if name != "root"},
    **{f"middle of {name}": wrap for name, wrap in INNERS.items()},
    "in turn 3": in_turn(3),
    "in join beside a wait": in_join(waiting=True),
    "in race, loses": in_race(wins=False),
    "in map, limit 1": in_map(limit=1),
}


LONGEST = 80
KINDS = ("wrap", "wrap", "wrap", "many", "many", "failure", "leaf")


@dataclass(frozen=True)
class Tree:
    """A body, and what it is made of: for whoever reads of its failure."""

    text: str
    piece: Piece

    def __repr__(self) -> str:
        return self.text


def wrapped(name: str, inner: Tree) -> Tree:
    return Tree(f"{name}({inner})", WRAPS[name](inner.piece))


def leaf(rng: Random) -> Tree:
    known: dict[str, Piece] = {"step": a_step, **WAITS}
    name = rng.choice(list(known))
    return Tree(name, known[name])


def failure(rng: Random, depth: int) -> Tree:
    """Fail below some blocks, in one place: so it is the same in every schedule."""
    broken, limit = rng.choice([("fail", failing), ("for ever", for_ever)]), depth
    tree = Tree(*broken)
    for _ in range(rng.randint(0, limit)):
        tree = wrapped(rng.choice(list(WRAPS)), tree)
    if broken[0] == "for ever":
        return Tree(f"caught(timeout({tree}))", caught(timed_out(tree.piece)))
    return Tree(f"caught({tree})", caught(tree.piece))


def grow(rng: Random, depth: int) -> Tree:
    """Grow a tree of this depth at most."""
    kind = rng.choice(KINDS) if depth > 0 else "leaf"
    if kind == "leaf":
        return leaf(rng)
    if kind == "failure":
        return failure(rng, depth - 1)
    if kind == "wrap":
        return wrapped(rng.choice(list(WRAPS)), grow(rng, depth - 1))
    parts = [grow(rng, depth - 1), grow(rng, depth - 3)]
    rng.shuffle(parts)
    name = rng.choice(list(MANY))
    return Tree(f"{name}{tuple(parts)}", MANY[name](*(part.piece for part in parts)))


def compact(seed: int) -> Tree:
    """Grow trees of depth 4 until one is small: its text is short then, too."""
    rng = Random(seed)
    while True:
        tree = grow(rng, 4)
        if len(tree.text) <= LONGEST:
            return tree
