"""Frames: how the records of one flush become bytes, and come back.

A frame is text, one JSON object a line: the seal with size and checksum of what
follows, so that a torn frame is known as such; the header, which says how the
instance rests and on which frame this one builds, so that frames which were
never acknowledged are passed over for good; then the records.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol
from zlib import crc32

from edgeflow.errors import JournalDamaged, Undecodable
from edgeflow.late import dataclass
from edgeflow.values import dumps, loads

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from edgeflow.store import Frame

FORMAT = 1
BEGIN = b'{"edgeflow":%d,' % FORMAT
"""How each frame begins."""
HEADER_ROOM = 4096
"""Bytes kept free in a frame for seal and header, and what wraps a value."""


class Codec(Protocol):
    """Wraps the bytes that go to the store, to encrypt or compress them."""

    def encode(self, data: bytes) -> bytes: ...

    def decode(self, data: bytes) -> bytes:
        """Undo `encode`; raise anything if these bytes were not made by it."""
        ...


class Torn(JournalDamaged):
    """The bytes of one frame are not what was written."""


class PlainCodec:
    """Bytes as they are."""

    def encode(self, data: bytes) -> bytes:
        return data

    def decode(self, data: bytes) -> bytes:
        return data


@dataclass(frozen=True, slots=True)
class Part:
    """One frame, opened."""

    seq: int
    header: dict[str, Any]
    lines: list[bytes]


@dataclass(frozen=True, slots=True)
class Chain:
    """The frames that count, oldest first, and the number of the last of them."""

    parts: list[Part]

    @property
    def last(self) -> int:
        return self.parts[-1].seq

    @property
    def header(self) -> dict[str, Any]:
        """What the last flush said of the instance."""
        return self.parts[-1].header

    def records(self) -> Iterator[bytes]:
        for part in self.parts:
            yield from part.lines


def build(
    header: dict[str, Any], lines: Sequence[bytes], limit: int, codec: Codec
) -> tuple[bytes, ...]:
    """Make the frames of one flush: one, or several if it outgrows `limit` bytes."""
    room = limit - HEADER_ROOM
    is_small = sum(map(len, lines)) + len(lines) <= room
    groups = [lines] if is_small else list(_split(lines, room))
    frames: list[bytes] = []
    for at, group in enumerate(groups, start=1):
        header["part"] = [at, len(groups)]
        frames.append(codec.encode(_sealed(dumps(header), group)))
    return tuple(frames)


def _sealed(header: bytes, lines: Sequence[bytes]) -> bytes:
    rest = b"\n".join((header, *lines))
    return b'%b"size":%d,"crc":%d}\n%b' % (BEGIN, len(rest), crc32(rest), rest)


def _split(lines: Iterable[bytes], limit: int) -> Iterator[list[bytes]]:
    group: list[bytes] = []
    size = 0
    for line in lines:
        if group and size + len(line) + 1 > limit:
            yield group
            group, size = [], 0
        group.append(line)
        size += len(line) + 1
    yield group


def read(frames: Sequence[Frame], codec: Codec) -> Chain:
    """Follow the chain back from the last whole flush to its snapshot.

    A torn last frame, or a group without its end, was never acknowledged and
    counts as not written.

    Raises:
        JournalDamaged: if a frame that counts is missing, damaged, or newer.
    """
    opened: dict[int, Part] = {}
    damage: dict[int, str] = {}
    for frame in frames:
        try:
            opened[frame.seq] = unwrap(frame, codec)
        except Torn as why:
            damage[frame.seq] = str(why)
    order = [frame.seq for frame in frames]
    if order and order[-1] in damage and opened:
        order.pop()
    while order and order[-1] in opened and not _ends_group(opened[order[-1]]):
        order.pop()
    chain: list[Part] = []
    seq = order[-1] if order else 0
    while seq:
        part = opened.get(seq)
        if part is None:
            reason = damage.get(seq, "it is missing")
            raise JournalDamaged(f"frame {seq} of the journal cannot be read: {reason}")
        chain.append(part)
        seq = _before(part)
    if not chain:
        reason = next(iter(damage.values()), "it has no frames")
        raise JournalDamaged(f"the journal cannot be read: {reason}")
    chain.reverse()
    return Chain(chain)


def is_void(frames: Sequence[Frame], codec: Codec) -> bool:
    """Tell whether no flush was ever written whole: so none was acknowledged.

    What another codec made, or was damaged after it was written, is not void.
    """
    numbered = list(enumerate(frames, start=1))
    return bool(numbered) and all(
        frame.seq == at and _is_begun(frame, codec) for at, frame in numbered
    )


def _is_begun(frame: Frame, codec: Codec) -> bool:
    """Tell whether this is a part of a flush, or of a frame, and certainly no more."""
    try:
        return not _ends_group(unwrap(frame, codec))
    except Torn:
        pass
    except JournalDamaged:
        return False
    try:
        data = codec.decode(frame.body)
        head, ends, rest = data.partition(b"\n")
        if ends and data.startswith(BEGIN):
            return bool(parse(head)["size"] > len(rest))
    except Exception:  # of the codec, which may be another one, or of what is damaged
        return False
    return head.startswith(BEGIN) or BEGIN.startswith(data)


def _before(part: Part) -> int:
    """Give the number of the frame that this one builds on; 0: it stands alone."""
    first = part.header["part"][0] == 1
    before = int(part.header["prev"]) if first else part.seq - 1
    if not 0 <= before < part.seq:
        raise JournalDamaged(f"frame {part.seq} of the journal builds on {before}")
    return before


def parse(line: bytes) -> dict[str, Any]:
    """Read one line of a frame.

    Raises:
        ValueError: if it is no JSON object.
    """
    data = loads(line)
    if not isinstance(data, dict):
        raise ValueError(f"not a JSON object: {line[:80]!r}")  # noqa: TRY004  data
    return data


def _ends_group(part: Part) -> bool:
    index, count = part.header["part"]
    return bool(index == count)


def unwrap(frame: Frame, codec: Codec) -> Part:
    """Open one frame.

    Raises:
        Torn: if its bytes are not what was written.
        JournalDamaged: if it is of a newer format.
    """
    try:
        head, _, rest = codec.decode(frame.body).partition(b"\n")
    except Exception as error:
        raise Torn(f"the codec refuses it ({type(error).__name__}: {error})") from error
    try:
        seal = parse(head)
    except (Undecodable, ValueError) as error:
        raise Torn("it is no frame of edgeflow, or torn") from error
    if not isinstance(seal.get("edgeflow"), int):
        raise Torn("it is no frame of edgeflow")
    if seal["edgeflow"] != FORMAT:
        raise JournalDamaged(
            f"frame {frame.seq} of the journal has format {seal['edgeflow']}, this "
            f"edgeflow reads {FORMAT}: use the version that wrote it, or a newer one"
        )
    if seal.get("size") != len(rest) or seal.get("crc") != crc32(rest):
        raise Torn("it is torn: size or checksum do not match")
    header, *lines = rest.split(b"\n")
    return Part(frame.seq, parse(header), lines)
