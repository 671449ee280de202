"""Annotation-directed JSON, both ways: what crosses the boundary, and in what form.

    annotation                              JSON
    None bool int float str                 themselves
    list tuple set frozenset                array; sets sorted
    dict, TypedDict                         object; keys that are no str become text
    dataclass, attrs class, NamedTuple      object by field name
    Enum, Literal                           the value
    bytes                                   base64
    datetime date time timedelta            ISO 8601; timedelta as P<days>DT<seconds>S
    Decimal, UUID                           their text
    pydantic model, msgspec Struct          what the library makes of them
    union                                   the first member that fits exactly
    Any, object, no annotation              by run-time type; comes back as plain JSON

What is promised:

- `decode(encode(value))` is what the body gets, live and on replay (G9).
- With an annotation the value must fit it; nothing is coerced but an int to a float.
  An instance of a subclass comes back as the annotated scalar, list or dict; where
  the annotation is a class with fields it is refused, as it would lose some.
- Equal sets give equal bytes in every process. A dict keeps its order, since code
  that iterates over it must see one order.
- A zone becomes its fixed offset. `fold` is kept where there is no zone.
- A field with `init=False` is carried if it takes part in comparison; otherwise it
  is derived, and left to `__post_init__`.
- No type is named by data, and nothing is imported because of data.

Arrows: this package knows `edgeflow.errors` and the standard library. orjson is
imported at its first use, pydantic, msgspec and attrs never.
"""

from __future__ import annotations

from edgeflow.values.convert import Converter, converter
from edgeflow.values.signatures import Signature, signature
from edgeflow.values.wire import Json, dumps, loads

__all__ = [
    "Converter",
    "Json",
    "Signature",
    "converter",
    "dumps",
    "loads",
    "signature",
]
