"""Group R through the engine: what crosses the boundary, live and replayed.

The codec itself is tested in tests/values.
"""

import asyncio
import importlib.abc
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, NamedTuple, TypedDict, cast
from uuid import UUID

import pytest

from edgeflow import (
    App,
    Codec,
    Context,
    Outcome,
    Retry,
    StepError,
    Workflow,
    current_step,
    step,
    workflow,
)
from edgeflow.store import Limits, Store
from edgeflow.testing.clock import VirtualClock
from edgeflow.testing.recorder import RecordingStore
from edgeflow_memory import MemoryStore

START = 1_700_000_000.0
MIB = 1024 * 1024
QUICK = Retry(jitter=0)

Durability = Literal["step", "behind", "suspend"]


class World:
    """A database and a clock that outlive every process."""

    def __init__(self, inner: Store | None = None) -> None:
        self.store = RecordingStore(MemoryStore() if inner is None else inner)
        self.clock = VirtualClock(START)

    def process(self, *workflows: Workflow[Any, Any], **settings: Any) -> App:
        """A fresh process: it knows nothing but what is in the store."""
        return App(self.store, clock=self.clock, workflows=workflows, **settings)

    async def start(self, workflow: Workflow[Any, Any], value: object = None) -> None:
        await self.process(workflow).start(workflow, value, id="i")

    async def drive(self, workflow: Workflow[Any, Any]) -> Outcome[Any]:
        return await self.process(workflow).drive("i")

    async def replay(self, workflow: Workflow[Any, Any]) -> Outcome[Any]:
        """Drive it in a new process, a minute later."""
        self.clock.advance(60)
        return await self.drive(workflow)

    def frames(self) -> list[bytes]:
        return [frame for commit in self.store.commits for frame in commit.frames]


@pytest.fixture
def world() -> World:
    return World()


class Colour(Enum):
    RED = "red"


@dataclass
class Item:
    name: str
    price: Decimal


@dataclass
class Order:
    items: list[Item]
    at: datetime
    note: str | None = None


class Point(NamedTuple):
    x: int
    y: int


class Row(TypedDict):
    key: int


@dataclass
class Everything:
    """One field for each kind of type that values know."""

    nothing: None
    flag: bool
    number: int
    ratio: float
    raw: bytes
    when: datetime
    day: date
    span: timedelta
    price: Decimal
    uid: UUID
    colour: Colour
    pair: tuple[int, str]
    names: frozenset[str]
    table: dict[int, list[Item]]
    point: Point
    row: Row
    either: int | Item


EVERYTHING = Everything(
    nothing=None,
    flag=True,
    number=2**64 - 1,
    ratio=5e-324,
    raw=b"\x00\xff",
    when=datetime(2024, 2, 29, 12, 30, tzinfo=UTC),
    day=date(2024, 2, 29),
    span=timedelta(days=1, microseconds=1),
    price=Decimal("1.10"),
    uid=UUID(int=7),
    colour=Colour.RED,
    pair=(1, "a"),
    names=frozenset({"b", "a"}),
    table={1: [Item("x", Decimal(2))]},
    point=Point(1, 2),
    row={"key": 1},
    either=Item("y", Decimal(3)),
)


def types_in(value: Everything) -> list[type]:
    return [type(each) for each in vars(value).values()]


# --- live == replay -----------------------------------------------------------


async def test_every_type_comes_equal_through_input_step_message_and_output(
    world: World,
) -> None:
    # R-01, G9
    seen: list[list[Everything]] = []

    @step
    async def echo(value: Everything) -> Everything:
        return value

    @workflow
    async def body(ctx: Context, value: Everything) -> Everything:
        result = await echo(value)
        message = (await ctx.receive("m", type=Everything)).body
        seen.append([value, result, message])
        await ctx.sleep(60)
        return result

    await world.start(body, EVERYTHING)
    # A message is sent without an annotation, which keys that are no str need.
    posted = replace(EVERYTHING, table={})
    await world.process().handle("i").send("m", posted)
    await world.drive(body)
    outcome = await world.replay(body)

    expected = [EVERYTHING, EVERYTHING, posted]
    assert seen == [expected] * 2
    for facts in seen:
        assert [types_in(each) for each in facts] == [types_in(e) for e in expected]
    assert outcome.output == EVERYTHING
    assert await world.process(body).handle("i").result() == EVERYTHING


@dataclass
class Shape:
    """One value without an annotation, and what the body gets of it."""

    given: object
    got: object


SHAPES = {
    "tuple": Shape((1, (2,)), [1, [2]]),
    "set in list": Shape([{"b", "a"}], [["a", "b"]]),
    "int": Shape(1, 1),
    "whole float": Shape(1.0, 1.0),
    "minus zero": Shape(-0.0, -0.0),
    "tiny": Shape(5e-324, 5e-324),
    "dataclass": Shape(Item("x", Decimal("1.0")), {"name": "x", "price": "1.0"}),
    "none": Shape(None, None),
    "text": Shape("é\u2028\0", "é\u2028\0"),
}


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("durability", ["step", "behind", "suspend"])
async def test_a_value_without_an_annotation_is_plain_json_live_as_on_replay(
    world: World, name: str, durability: Durability
) -> None:
    # R-02, G9
    seen: list[object] = []
    shape = SHAPES[name]

    async def give():  # type: ignore[no-untyped-def]  # noqa: ANN202  that is the case
        return shape.given

    @workflow
    async def body(ctx: Context) -> None:
        seen.append(await ctx.step("give", give, durability=durability))
        await ctx.sleep(60)

    await world.start(body)
    await world.drive(body)
    assert (await world.replay(body)).status == "completed"

    assert [repr(each) for each in seen] == [repr(shape.got)] * 2


@pytest.mark.parametrize("durability", ["step", "behind", "suspend"])
async def test_a_result_is_what_it_was_when_the_step_ended(
    world: World, durability: Durability
) -> None:
    # R-03, G8, G9
    kept: list[int] = [1]
    seen: list[list[int]] = []

    @step(durability=durability)
    async def give() -> list[int]:
        return kept

    @step(durability=durability)
    async def meddle() -> None:
        kept.append(2)

    @workflow
    async def body(ctx: Context) -> list[int]:
        result = await give()
        await meddle()
        seen.append(list(result))
        result.append(99)
        await ctx.sleep(60)
        return result

    await world.start(body)
    await world.drive(body)
    outcome = await world.replay(body)

    assert kept == [1, 2]
    assert seen == [[1], [1]]
    assert outcome.output == [1, 99]
    assert (await world.process().handle("i").history())[0].value == [1]


async def test_an_input_changed_in_place_is_fresh_on_replay(world: World) -> None:
    # R-03, G9
    seen: list[list[int]] = []

    @workflow
    async def body(ctx: Context, value: list[int]) -> list[int]:
        seen.append(list(value))
        value.append(2)
        await ctx.sleep(60)
        return value

    mine = [1]
    await world.start(body, mine)
    mine.append(77)
    await world.drive(body)

    assert (await world.replay(body)).output == [1, 2]
    assert seen == [[1], [1]]


# --- refused ------------------------------------------------------------------


def cyclic() -> list[Any]:
    found: list[Any] = []
    found.append(found)
    return found


class Thing:
    pass


UNENCODABLE: dict[str, tuple[Callable[[], object], str, str]] = {
    "file": (lambda: sys.__stdout__, "$", "TextIOWrapper"),
    "lambda": (lambda: [0, lambda: 1], "$[1]", "lambda"),
    "cyclic list": (cyclic, "$", "contains itself"),
    "lone surrogate": (lambda: {"k": "\ud800"}, "$.k", "surrogate"),
    "object": (lambda: {"k": [1, {"deep": Thing()}]}, "$.k[1].deep", "Thing"),
    #
    "nan": (lambda: [float("nan")], "$[0]", "nan"),
    "infinity": (lambda: {"k": float("inf")}, "$.k", "inf"),
    "minus infinity": (lambda: float("-inf"), "$", "inf"),
    "large int": (lambda: [2**64], "$[0]", "an int of"),
    "small int": (lambda: [-(2**63) - 1], "$[0]", "an int of"),
    "int keys": (lambda: {"k": {1: "a"}}, "$.k", "int"),
}


@pytest.mark.parametrize("case", UNENCODABLE)
async def test_a_result_that_json_does_not_carry_fails_its_step_by_name(
    world: World, case: str
) -> None:
    # S36, G6
    make, path, what = UNENCODABLE[case]
    calls: list[int] = []
    seen: list[list[Any]] = []

    async def give() -> Any:
        calls.append(1)
        current_step().state["n"] = 1
        return make()

    @workflow
    async def body(ctx: Context) -> None:
        try:
            await ctx.step("give", give, retry=QUICK)
        except StepError as error:
            seen.append([error.kind, error.attempts, error.error])
        await ctx.sleep(60)

    await world.start(body)
    await world.drive(body)
    outcome = await world.replay(body)

    assert outcome.status == "completed"
    assert len(calls) == 1
    assert len(seen) == 2
    assert seen[0] == seen[1]
    kind, attempts, error = seen[0]
    assert (kind, attempts, error.type) == ("unencodable", 1, "Unencodable")
    assert path in error.message
    assert what.lower() in error.message.lower()
    assert await world.process().handle("i").state() == {}


async def test_a_result_that_does_not_fit_its_annotation_fails_its_step(
    world: World,
) -> None:
    #
    @step(retry=QUICK)
    async def give() -> list[int]:
        return cast("list[int]", [1, "two"])

    @workflow
    async def body(ctx: Context) -> str:
        try:
            await give()
        except StepError as error:
            return f"{ctx.id} {error.kind} {error.error.message}"
        return "no error"

    await world.start(body)
    output = str((await world.drive(body)).output)

    assert output.startswith("i unencodable ")
    assert "$[1]" in output
    assert "str" in output


# --- size ---------------------------------------------------------------------


def sized(size: int) -> str:
    """A text whose JSON has `size` bytes."""
    return "x" * (size - 2)


@pytest.mark.parametrize(
    ("limits", "limit"),
    [(Limits(), 8 * MIB), (Limits(max_frame=64 * 1024 + 4096), 64 * 1024)],
    ids=["8 MiB", "the store's"],
)
async def test_a_result_above_the_limit_fails_before_any_write_and_one_below_is_durable(
    limits: Limits, limit: int
) -> None:
    # R-05, S20, G3, G8
    world = World(MemoryStore(limits))
    calls: list[str] = []
    seen: list[Any] = []

    async def give(name: str, size: int) -> str:
        calls.append(name)
        return sized(size)

    @workflow
    async def body(ctx: Context) -> None:
        try:
            await ctx.step("above", lambda: give("above", limit + 1), retry=QUICK)
        except StepError as error:
            seen.append([error.kind, error.step, error.error])
        seen.append(len(await ctx.step("below", lambda: give("below", limit - 1))))
        await ctx.sleep(60)

    await world.start(body)
    await world.drive(body)
    assert (await world.replay(body)).status == "completed"

    assert calls == ["above", "below"]
    assert seen[:2] == seen[2:]
    kind, name, error = seen[0]
    assert (kind, name, error.type) == ("unencodable", "above", "ValueTooLarge")
    assert "above" in error.message, "it names the entry"
    assert str(limit) in error.message
    assert str(limit + 1) in error.message
    assert seen[1] == limit - 3
    assert max(len(frame) for frame in world.frames()) <= limits.max_frame


async def test_several_large_results_of_one_flush_are_split_over_frames(
    world: World,
) -> None:
    # R-05, G3, S6
    calls: list[int] = []
    seen: list[list[int]] = []

    @step
    async def give(number: int) -> str:
        calls.append(number)
        return str(number) * (5 * MIB)

    @workflow
    async def body(ctx: Context) -> None:
        results = await asyncio.gather(*(give(n) for n in (1, 2, 3)))
        seen.append([int(text[0]) for text in results if len(text) == 5 * MIB])
        await ctx.sleep(60)

    await world.start(body)
    app = world.process(body, durability="suspend", max_dirty_bytes=100 * MIB)
    await app.drive("i")

    groups = [len(c.frames) for c in world.store.commits if len(c.frames) > 1]
    assert groups == [3], "one flush, and none of its frames is above the limit"
    assert max(map(len, world.frames())) <= world.store.limits.max_frame

    assert (await world.replay(body)).status == "completed"
    assert calls == [1, 2, 3]
    assert seen == [[1, 2, 3]] * 2


async def test_a_large_result_in_a_branch_is_not_computed_again(world: World) -> None:
    # R-05, G8
    calls: list[int] = []

    @step
    async def give(size: int) -> str:
        calls.append(size)
        return "x" * size

    @workflow
    async def body(ctx: Context) -> int:
        small, large = await asyncio.gather(give(1), give(6 * MIB))
        await ctx.sleep(60)
        return len(small) + len(large)

    await world.start(body)
    await world.drive(body)

    assert (await world.replay(body)).output == 6 * MIB + 1
    assert sorted(calls) == [1, 6 * MIB]


# --- what the body gives out --------------------------------------------------


@dataclass
class Wrong:
    """How a body may give out something it should not."""

    named: str
    value: Callable[[], Any]
    says: str


WRONGS = {
    f"{way} {why}": (way, make, says)
    for way in ("output", "send", "status", "reply")
    for why, make, says in (
        ("unencodable", lambda: {"k": [Thing()]}, "$.k[0]"),
        ("too large", lambda: "x" * (8 * MIB + 1), str(8 * MIB)),
    )
}
NAMES = {
    "output": "output",
    "send": "'n'",
    "status": "ctx.status",
    "reply": "message.reply",
}


@pytest.mark.parametrize("case", WRONGS)
async def test_what_the_body_gives_out_wrongly_blocks_it_until_it_is_corrected(
    world: World, case: str
) -> None:
    # R-07, S5, G13
    way, make, says = WRONGS[case]
    calls: list[int] = []
    wrong = [True]

    @step
    async def work() -> int:
        calls.append(1)
        return 7

    @workflow
    async def body(ctx: Context) -> Any:
        value: Any = make() if wrong[0] else "right"
        await work()
        if way == "send":
            await ctx.send("other", "n", value)
        elif way == "status":
            await ctx.status(value)
        elif way == "reply":
            message = await ctx.receive("q")
            await message.reply(value)
        return value if way == "output" else "done"

    await world.start(body)
    asking = None
    if way == "reply":
        ask = world.process().handle("i").ask("q", 1, timeout=1_000_000)
        asking = asyncio.create_task(ask)
        await asyncio.sleep(0.001)
    outcome = await world.process(body, version="1").drive("i")

    assert outcome.status == "blocked"
    assert outcome.error is not None
    assert says in outcome.error.message
    assert NAMES[way] in outcome.error.message
    assert await world.store.inner.unread("other") == ()

    again = await world.process(body, version="1").drive("i")
    assert (again.status, again.error) == ("blocked", outcome.error)

    wrong[0] = False
    corrected = await world.process(body, version="2").drive("i")

    assert corrected.output == ("right" if way == "output" else "done")
    assert calls == [1]
    if asking is not None:
        assert await asking == "right"


# --- records of older code ----------------------------------------------------


@dataclass
class Old:
    name: str
    gone: int


@dataclass
class Gained:
    name: str
    gone: int
    new: str = "default"


@dataclass
class Lost:
    name: str


@dataclass
class Demanding:
    name: str
    gone: int
    new: str


@dataclass
class Other:
    number: int


CALLS: list[str] = []


def reader(kind: Any, version_of: str) -> Workflow[Any, str]:
    """A deployment in which all that is stored is annotated as `kind`."""

    async def load() -> Any:
        CALLS.append(version_of)
        return Old("ann", 1)

    load.__annotations__["return"] = kind

    async def read(ctx: Context, value: Any) -> str:
        result = await ctx.step("load", load)
        message = (await ctx.receive("m", type=kind)).body
        await ctx.sleep(60)
        return f"{value!r} {result!r} {message!r}"

    read.__annotations__["value"] = kind
    return workflow(name="read")(read)


async def stored_by_old_code(world: World) -> None:
    CALLS.clear()
    old = reader(Old, "old")
    await world.start(old, Old("ann", 1))
    await world.process().handle("i").send("m", Old("bob", 2))
    assert (await world.process(old, version="1").drive("i")).status == "suspended"
    world.clock.advance(60)


@pytest.mark.parametrize(
    ("kind", "ann", "bob"),
    [
        (Gained, Gained("ann", 1, "default"), Gained("bob", 2, "default")),
        (Lost, Lost("ann"), Lost("bob")),
        (Other | Old, Old("ann", 1), Old("bob", 2)),
    ],
    ids=["gained a default", "lost a field", "became a union"],
)
async def test_old_records_are_read_by_changed_classes(
    world: World, kind: object, ann: object, bob: object
) -> None:
    # R-08, S36
    await stored_by_old_code(world)

    outcome = await world.process(reader(kind, "new")).drive("i")

    assert outcome.output == f"{ann!r} {ann!r} {bob!r}"
    assert CALLS == ["old"]


async def test_a_record_that_lacks_a_field_blocks_until_the_code_is_corrected(
    world: World,
) -> None:
    # R-08, K-09, G13
    await stored_by_old_code(world)

    app = world.process(reader(Demanding, "new"), version="2")
    outcome = await app.drive("i")

    assert outcome.status == "blocked"
    assert outcome.error is not None
    assert "new" in outcome.error.message
    corrected = world.process(reader(Gained, "newer"), version="3")
    assert str((await corrected.drive("i")).output).startswith("Gained(")
    assert CALLS == ["old"]


# --- bytes in the store -------------------------------------------------------


SECRET = "vermilion"


class Boom(Exception):
    pass


@step(retry=Retry(attempts=2, jitter=0))
async def secretive(secret: str) -> dict[str, str]:
    current_step().state[f"{secret}-key"] = f"{secret}-value"
    if current_step().attempt == 1:
        raise Boom(f"{secret}-error")
    return {"result": f"{secret}-result"}


@workflow
async def discreet(ctx: Context, secret: str) -> str:
    await secretive(secret)
    await ctx.send("other", "n", f"{secret}-sent")
    await ctx.status(f"{secret}-progress")
    message = await ctx.receive("m")
    await ctx.sleep(60)
    return f"{secret}-output {message.body}"


class Flip:
    """A codec that makes every byte another one."""

    def encode(self, data: bytes) -> bytes:
        return bytes(byte ^ 0xFF for byte in data)

    def decode(self, data: bytes) -> bytes:
        return self.encode(data)


class Recording(RecordingStore):
    """Keeps the bodies of messages as well."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self.bodies: list[bytes] = []

    async def send(self, message: Any) -> bool:
        self.bodies.append(message.body)
        return await super().send(message)


async def live_through(store: Store, codec: Codec | None) -> list[bytes]:
    """Run `discreet` to its end in two processes; give all bytes it wrote."""
    recording, clock = Recording(store), VirtualClock(START)

    def process() -> App:
        return App(recording, clock=clock, workflows=[discreet], codec=codec)

    await process().start(discreet, SECRET, id="i")
    await process().handle("i").send("m", f"{SECRET}-message")
    first = await process().drive("i")
    while first.status == "suspended":
        clock.advance(60)
        first = await process().drive("i")
    assert first.output == f"{SECRET}-output {SECRET}-message"
    assert await process().handle("i").state() == {f"{SECRET}-key": f"{SECRET}-value"}
    assert (await process().handle("i").info()).progress == f"{SECRET}-progress"
    found = list(recording.bodies)
    for commit in recording.commits:
        found += [*commit.frames, *(message.body for message in commit.sends)]
    return found


async def test_all_that_is_written_is_json(store: Store) -> None:
    #
    written = await live_through(store, None)

    lines = [line for each in written for line in each.split(b"\n") if line]
    assert len(lines) > 10
    for line in lines:
        assert isinstance(json.loads(line), dict)
    text = b"".join(written)
    for part in ("key", "value", "error", "result", "sent", "progress", "output"):
        assert f"{SECRET}-{part}".encode() in text


def files_with(text: str, folder: Path) -> list[str]:
    found = [path for path in folder.iterdir() if path.is_file()]
    return [path.name for path in found if text.encode() in path.read_bytes()]


async def test_with_a_codec_no_plain_text_reaches_the_store(
    store: Store, tmp_path: Path
) -> None:
    #
    written = await live_through(store, Flip())

    assert [each for each in written if SECRET.encode() in each] == []
    assert [each for each in written if b'"' in each] == []
    assert files_with(SECRET, tmp_path) == []


async def test_a_codec_with_the_wrong_key_blocks_and_the_right_one_goes_on(
    world: World,
) -> None:
    # K-09, G13
    calls: list[int] = []

    class Key:
        def __init__(self, key: int) -> None:
            self.key = key

        def encode(self, data: bytes) -> bytes:
            return bytes([self.key]) + data[::-1]

        def decode(self, data: bytes) -> bytes:
            if data[0] != self.key:
                raise ValueError("wrong key")
            return data[:0:-1]

    @step
    async def work() -> int:
        calls.append(1)
        return 7

    @workflow
    async def body(ctx: Context) -> int:
        result = await work()
        await ctx.sleep(60)
        return result

    await world.process(body, codec=Key(1)).start(body, id="i")
    await world.process(body, codec=Key(1)).drive("i")
    world.clock.advance(60)
    commits = len(world.store.commits)

    outcome = await world.process(body, codec=Key(2)).drive("i")

    assert outcome.status == "blocked"
    assert outcome.error is not None
    assert "'i'" in outcome.error.message
    assert "wrong key" in outcome.error.message
    assert len(world.store.commits) == commits, "what cannot be read is left alone"
    assert (await world.process(body, codec=Key(1)).drive("i")).output == 7
    assert calls == [1]


class Watcher(importlib.abc.MetaPathFinder):
    """Notes what Python is asked to import."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        self.asked.append(fullname)
        return None


async def test_nothing_is_imported_because_data_names_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    # R-09, G8
    foreign = type("Boom", (Exception,), {"__module__": "no_such_module"})
    seen: list[str] = []

    @step(retry=Retry(attempts=1))
    async def fail() -> None:
        raise foreign("x")

    @workflow
    async def body(ctx: Context) -> None:
        try:
            await fail()
        except StepError as error:
            seen.append(error.error.type)
        await ctx.sleep(60)

    await world.start(body)
    await world.drive(body)
    watcher = Watcher()
    monkeypatch.setattr(sys, "meta_path", [watcher, *sys.meta_path])

    assert (await world.replay(body)).status == "completed"

    assert seen == ["no_such_module.Boom"] * 2
    assert [name for name in watcher.asked if "no_such" in name] == []
