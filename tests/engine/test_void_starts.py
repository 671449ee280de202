"""What counts as never started, and may be begun anew: a torn start, no more."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from edgeflow import App, Context, workflow
from edgeflow.engine.frames import HEADER_ROOM, PlainCodec, build, is_void
from edgeflow.errors import WorkflowBlocked
from edgeflow.store import Frame
from edgeflow_memory import MemoryStore

if TYPE_CHECKING:
    from edgeflow.engine.frames import Codec

PLAIN = PlainCodec()


class Shift:
    """A codec that refuses nothing: whatever it is given, it gives something."""

    def __init__(self, by: int) -> None:
        self.by = by

    def encode(self, data: bytes) -> bytes:
        return bytes((byte + self.by) % 256 for byte in data)

    def decode(self, data: bytes) -> bytes:
        return bytes((byte - self.by) % 256 for byte in data)


def start(codec: Codec = PLAIN) -> list[Frame]:
    """Give the start of an instance, in three frames."""
    lines = [b"1" * 5000, b"2" * 5000, b"3" * 5000]
    bodies = build({"prev": 0}, lines, HEADER_ROOM + 6000, codec)
    return [Frame(at, body) for at, body in enumerate(bodies, start=1)]


def cut(frame: Frame, keep: int) -> Frame:
    return replace(frame, body=frame.body[:keep])


def test_a_start_is_void_until_its_last_byte() -> None:
    # O-08, S34
    for codec in (PLAIN, Shift(7)):
        frames = start(codec)
        for at, frame in enumerate(frames):
            assert is_void(frames[: at + 1], codec) == (at < 2)
            for keep in range(0, len(frame.body), 7):
                assert is_void([*frames[:at], cut(frame, keep)], codec)


def test_a_start_torn_again_and_again_is_void() -> None:
    # O-08
    frames = start()
    assert is_void([cut(frames[0], 9), replace(cut(frames[0], 50), seq=2)], PLAIN)


def test_what_another_codec_wrote_is_not_void() -> None:
    # O-08, G3
    for at in (1, 2, 3):
        assert not is_void(start(Shift(7))[:at], PLAIN)
        assert not is_void(start(Shift(7))[:at], Shift(8))
        assert not is_void(start()[:at], Shift(8))


def test_a_frame_that_was_damaged_later_is_not_void() -> None:
    # O-08, G3
    whole = build({"prev": 0}, [b"1" * 5000], 1 << 20, PLAIN)[0]
    size = whole.index(b":", len(b'{"edgeflow":'))
    for at in {*range(len(whole))} - {*range(size + 1, whole.index(b',"crc"'))}:
        flipped = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
        assert not is_void([Frame(1, flipped)], PLAIN)


def test_what_is_left_of_a_longer_journal_is_not_void() -> None:
    # O-08, G3: of a snapshot, the frames before which are gone, the flush was whole
    whole = build({"prev": 0}, [b"1" * 5000], 1 << 20, PLAIN)[0]
    assert not is_void([Frame(57, whole[:40])], PLAIN)
    assert not is_void([Frame(1, whole[:40]), Frame(3, whole[:40])], PLAIN)
    assert not is_void([], PLAIN)


def test_a_torn_frame_of_a_newer_format_is_not_void() -> None:
    assert not is_void([Frame(1, b'{"edgeflow":2,"size":99')], PLAIN)


@workflow
async def waits(ctx: Context, number: int) -> int:
    message = await ctx.receive("go", type=int)
    return number + message.body


@pytest.mark.parametrize("codec", [None, Shift(8)], ids=["none", "another"])
async def test_an_app_with_the_wrong_codec_overwrites_nothing(
    codec: Codec | None,
) -> None:
    # O-08, G3
    store = MemoryStore()
    right = App(store, workflows=[waits], codec=Shift(7))
    wrong = App(store, workflows=[waits], codec=codec)
    await (await right.start(waits, 1, id="i")).send("go", 1)

    with pytest.raises(WorkflowBlocked, match="'i'"):
        await wrong.run(waits, 2, id="i")

    assert await right.run(waits, 3, id="i") == 2
