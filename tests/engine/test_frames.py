"""Frames: bytes that come back whole, or are known to be damaged."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeflow.engine.frames import FORMAT, HEADER_ROOM, PlainCodec, build, read
from edgeflow.errors import JournalDamaged
from edgeflow.store import Frame
from edgeflow.values import dumps, loads

if TYPE_CHECKING:
    from collections.abc import Sequence

PLAIN = PlainCodec()
ROOM = 1 << 20


class Zip:
    """A codec of the user's own."""

    def encode(self, data: bytes) -> bytes:
        return zlib.compress(data)

    def decode(self, data: bytes) -> bytes:
        return zlib.decompress(data)


def flush(
    seq: int, *lines: bytes, prev: int | None = None, limit: int = ROOM
) -> list[Frame]:
    """Give the frames of one flush, the first of which has the number `seq`."""
    header = {"prev": seq - 1 if prev is None else prev, "status": f"after {seq}"}
    bodies = build(header, lines, limit, PLAIN)
    return [Frame(seq + n, body) for n, body in enumerate(bodies)]


def records(frames: Sequence[Frame]) -> list[bytes]:
    return list(read(frames, PLAIN).records())


THREE = [*flush(1, b'"a"', b'"b"'), *flush(2), *flush(3, b'"c"')]


@given(st.lists(st.lists(st.binary(max_size=50).filter(lambda b: b"\n" not in b))))
def test_what_is_built_is_read_in_its_order(flushes: list[list[bytes]]) -> None:
    flushes = [[line for line in lines if line] for lines in flushes] or [[]]
    frames = [f for seq, lines in enumerate(flushes, 1) for f in flush(seq, *lines)]

    chain = read(frames, PLAIN)

    assert list(chain.records()) == [line for lines in flushes for line in lines]
    assert chain.last == len(flushes)
    assert chain.header["status"] == f"after {len(flushes)}"


def test_a_frame_is_text_in_lines_of_json() -> None:
    #
    head, *lines = THREE[0].body.split(b"\n")

    header = loads(head)
    assert isinstance(header, dict)
    assert header["edgeflow"] == FORMAT
    assert lines[-2:] == [b'"a"', b'"b"']
    assert all(loads(line) for line in lines)


def test_a_codec_wraps_all_bytes() -> None:
    #
    bodies = build({"prev": 0}, [b'"secret"'], ROOM, Zip())

    assert b"secret" not in bodies[0]
    assert b"edgeflow" not in bodies[0]
    assert list(read([Frame(1, bodies[0])], Zip()).records()) == [b'"secret"']
    with pytest.raises(JournalDamaged, match=r"codec refuses it .*error"):
        read(THREE, Zip())


@pytest.mark.parametrize("keep", range(len(THREE[2].body)))
def test_a_last_frame_torn_anywhere_counts_as_not_written(keep: int) -> None:
    # O-08, S34
    torn = [*THREE[:2], Frame(3, THREE[2].body[:keep])]

    chain = read(torn, PLAIN)

    assert list(chain.records()) == [b'"a"', b'"b"']
    assert chain.last == 2


@pytest.mark.parametrize("at", range(len(THREE[2].body)))
def test_a_last_frame_with_any_byte_changed_counts_as_not_written(at: int) -> None:
    # O-08, S34
    body = bytearray(THREE[2].body)
    body[at] ^= 1
    changed = [*THREE[:2], Frame(3, bytes(body))]
    if at == THREE[2].body.index(str(FORMAT).encode()):
        with pytest.raises(JournalDamaged, match="format"):
            read(changed, PLAIN)
    else:
        assert records(changed) == [b'"a"', b'"b"']


def test_a_missing_last_frame_counts_as_not_written() -> None:
    # O-07, S34
    assert records(THREE[:2]) == [b'"a"', b'"b"']


def test_what_was_passed_over_stays_passed_over() -> None:
    # O-07 O-08, S34: frame 3 was torn, the next owner builds on 2
    torn = Frame(3, THREE[2].body[:20])
    later = flush(4, b'"d"', prev=2)

    assert records([*THREE[:2], torn, *later]) == [b'"a"', b'"b"', b'"d"']
    assert records([*THREE[:2], *later]) == [b'"a"', b'"b"', b'"d"']
    assert records([*THREE, *later]) == [b'"a"', b'"b"', b'"d"']


@pytest.mark.parametrize("at", [1, 2])
def test_a_missing_frame_in_the_middle_is_named(at: int) -> None:
    # O-08, S34
    with pytest.raises(JournalDamaged, match=f"frame {at} .*missing"):
        read([frame for frame in THREE if frame.seq != at], PLAIN)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "torn"),
        (b"\xff\x00", "torn"),
        (b"[]", "no frame of edgeflow"),
        (b'{"a": 1}\n', "no frame of edgeflow"),
        (THREE[0].body[:-1], "torn"),
        (THREE[0].body + b"x", "torn"),
        (THREE[0].body.replace(b'"a"', b'"z"'), "torn"),
    ],
)
def test_a_damaged_frame_in_the_middle_is_named(body: bytes, told: str) -> None:
    # O-08, S34
    with pytest.raises(JournalDamaged, match=f"frame 1 .*{told}"):
        read([Frame(1, body), *THREE[1:]], PLAIN)


@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_newer_format_is_never_passed_over(at: int) -> None:
    # also not as the last frame: an older edgeflow must not cut off a newer one's work
    frames = list(THREE)
    newer = dumps({"edgeflow": FORMAT + 1, "anything": "else"})
    frames[at] = Frame(at + 1, newer)

    with pytest.raises(JournalDamaged, match=f"frame {at + 1} .*format {FORMAT + 1}"):
        read(frames, PLAIN)


def test_nothing_at_all_is_damage() -> None:
    with pytest.raises(JournalDamaged, match="no frames"):
        read([], PLAIN)


# Groups


def test_a_flush_above_the_limit_is_split_and_comes_back_whole() -> None:
    # M-18, S6
    lines = [b"%010d" % n * 1000 for n in range(20)]
    frames = flush(1, *lines, limit=64 * 1024)

    assert 4 <= len(frames) <= 5
    assert max(len(frame.body) for frame in frames) <= 64 * 1024
    assert records(frames) == lines
    assert read(frames, PLAIN).last == len(frames)


def test_a_group_without_its_end_is_void() -> None:
    # M-18, S6
    before = flush(1, b'"a"')
    group = flush(2, b"1" * 5000, b"2" * 5000, b"3" * 5000, limit=HEADER_ROOM + 6000)
    assert len(group) == 3
    for length in range(3):
        assert records([*before, *group[:length]]) == [b'"a"']
    torn = Frame(4, group[2].body[:-1])
    assert records([*before, *group[:2], torn]) == [b'"a"']

    later = flush(4, b'"d"', prev=1)

    assert records([*before, *group[:2], *later]) == [b'"a"', b'"d"']


@given(
    st.lists(st.integers(1, 3000), max_size=30),
    st.integers(HEADER_ROOM + 3000, HEADER_ROOM + 9000),
)
def test_no_frame_is_above_its_limit(sizes: list[int], limit: int) -> None:
    # M-18
    lines = [b"x" * size for size in sizes]
    frames = flush(1, *lines, limit=limit)

    assert all(len(frame.body) <= limit for frame in frames)
    assert records(frames) == lines
