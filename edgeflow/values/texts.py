"""Types that JSON holds as text: bytes, dates and times, Decimal, UUID."""

from __future__ import annotations

import re
from binascii import a2b_base64, b2a_base64
from datetime import date, datetime, time, timedelta
from decimal import Decimal, DecimalException
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from edgeflow.values.codec import Codec
from edgeflow.values.fault import Fault, mismatch
from edgeflow.values.forms import Text

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgeflow.values.wire import Json

T = TypeVar("T")

_FOLD = " fold=1"
"""Follows a time without zone that is the second of two equal ones (PEP 495)."""

_TIMEDELTA = re.compile(r"P(-?\d+)DT(\d+)(?:\.(\d{6}))?S", re.ASCII)


def _write_bytes(value: bytes) -> str:
    return b2a_base64(value, newline=False).decode()


def _read_bytes(text: str) -> bytes:
    return a2b_base64(text, strict_mode=True)


def _write_datetime(value: datetime) -> str:
    text = datetime.isoformat(value)
    return text + _FOLD if value.fold and value.utcoffset() is None else text


def _read_datetime(text: str) -> datetime:
    plain = text.removesuffix(_FOLD)
    return datetime.fromisoformat(plain).replace(fold=int(plain != text))


def _write_date(value: date) -> str:
    if isinstance(value, datetime):
        raise mismatch("datetime.date", value)
    return date.isoformat(value)


def _write_time(value: time) -> str:
    if value.tzinfo is not None and value.utcoffset() is None:
        raise Fault(
            f"a time in a zone without fixed offset ({value.tzinfo}) has no JSON form; "
            "use a datetime, or keep the zone's name beside it"
        )
    text = time.isoformat(value)
    return text + _FOLD if value.fold and value.tzinfo is None else text


def _read_time(text: str) -> time:
    plain = text.removesuffix(_FOLD)
    return time.fromisoformat(plain).replace(fold=int(plain != text))


def _write_timedelta(value: timedelta) -> str:
    text = f"P{value.days}DT{value.seconds}"
    return f"{text}.{value.microseconds:06}S" if value.microseconds else f"{text}S"


def _read_timedelta(text: str) -> timedelta:
    found = _TIMEDELTA.fullmatch(text)
    if found is None:
        raise ValueError("it is not of the form P<days>DT<seconds>S")
    days, seconds, micros = found.groups("0")
    return timedelta(int(days), int(seconds), int(micros))


def _write_decimal(value: Decimal) -> str:
    if not value.is_finite():
        raise Fault(f"the Decimal {value} has no JSON form; use None, or a str")
    return Decimal.__str__(value)


def _read_decimal(text: str | int) -> Decimal:
    value = Decimal(text)
    if not value.is_finite():
        raise ValueError("it is not finite")
    return value


def _text(
    cls: type[T], write: Callable[[T], str], read: Callable[[Any], T], also: type = str
) -> Codec:
    """Make the codec; `read` raises ValueError or ArithmeticError for a bad text."""
    name = cls.__qualname__

    def encode(value: object, depth: int) -> Json:
        del depth
        if isinstance(value, cls):
            return write(value)
        raise mismatch(name, value)

    def decode(value: Json) -> T:
        if type(value) is not str and type(value) is not also:
            raise mismatch(f"{name} as text", value)
        try:
            return read(value)
        except (ValueError, ArithmeticError) as error:
            why = "" if isinstance(error, DecimalException) else f": {error}"
            raise Fault(f"this text is no {name}{why}") from error

    def canonical(text: str) -> bool:
        try:
            return write(read(text)) == text
        except (ValueError, ArithmeticError, Fault):
            return False

    return Codec(
        name=name,
        encode=encode,
        decode=decode,
        form=Text(name, canonical),
        types=(cls,),
        also=() if also is str else (also,),
    )


TEXTS: dict[type, Codec] = {
    bytes: _text(bytes, _write_bytes, _read_bytes),
    datetime: _text(datetime, _write_datetime, _read_datetime),
    date: _text(date, _write_date, date.fromisoformat),
    time: _text(time, _write_time, _read_time),
    timedelta: _text(timedelta, _write_timedelta, _read_timedelta),
    Decimal: _text(Decimal, _write_decimal, _read_decimal, also=int),
    UUID: _text(UUID, UUID.__str__, UUID),
}
