"""Exceptions as the journal keeps them, and back."""

from __future__ import annotations

from typing import Any

from edgeflow.errors import ErrorInfo, StepError, StepErrorKind
from edgeflow.values import converter, dumps

MESSAGE_LIMIT = 8 * 1024
DATA_LIMIT = 64 * 1024


def type_name(cls: type[BaseException]) -> str:
    """Give the qualified name of an exception's class; builtins bare."""
    if cls.__module__ == "builtins":
        return cls.__qualname__
    return f"{cls.__module__}.{cls.__qualname__}"


def describe(error: BaseException) -> dict[str, Any]:
    """Make an exception plain JSON: type, message, data. Never fails."""
    return {
        "type": type_name(type(error)),
        "message": _message(error),
        "data": _data(error),
    }


def _message(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception as why:
        text = f"<str() of it raised {type(why).__name__}>"
    return text.encode(errors="replace")[:MESSAGE_LIMIT].decode(errors="ignore")


def _data(error: BaseException) -> Any:
    try:
        offer = getattr(error, "__edgeflow_data__", None)
        raw = offer() if offer is not None else list(error.args)
        data = converter(Any).encode(raw)
        if len(dumps(data)) > DATA_LIMIT:
            return None
    except Exception:
        return None
    return data


def info(data: dict[str, Any]) -> ErrorInfo:
    """Read what `describe` made."""
    return ErrorInfo(data["type"], data["message"], data["data"])


def rebuild(
    step: str, record: dict[str, Any], raises: tuple[type[Exception], ...]
) -> Exception:
    """Give what the body sees of a step that failed for good.

    A type listed in `raises` comes as itself, if its data allow; no type is
    ever looked up by the name that is stored.
    """
    error = record["error"]
    kind: StepErrorKind = record["kind"]
    if kind in ("exhausted", "fatal"):
        for cls in raises:
            if type_name(cls) == error["type"]:
                try:
                    return _load(cls, error["data"])
                except Exception:
                    break
    return StepError(kind, step, record["attempts"], info(error))


def _load(cls: type[Exception], data: Any) -> Exception:
    loader = getattr(cls, "__edgeflow_load__", None)
    if loader is None:
        return cls(*data)
    loaded = loader(data)
    if not isinstance(loaded, Exception):
        raise TypeError(f"{cls.__name__}.__edgeflow_load__ gave {loaded!r}")
    return loaded
