"""Lists and dicts that a draft of state gives: they close with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgeflow.state import Draft


def guarded(value: Any, draft: Draft) -> Any:
    """Give lists and dicts that refuse to be used once the draft is closed."""
    if isinstance(value, dict):
        table = cast("dict[str, Any]", value)
        return GuardedDict({k: guarded(v, draft) for k, v in table.items()}, draft)
    if isinstance(value, list):
        items = cast("list[Any]", value)  # type: ignore[redundant-cast]  # pyright
        return GuardedList([guarded(item, draft) for item in items], draft)
    return value


class GuardedDict(dict[str, Any]):
    """A dict got from a draft."""

    def __init__(self, items: dict[str, Any], draft: Draft) -> None:
        """Belong to `draft`."""
        self.draft = draft
        super().__init__(items)


class GuardedList(list[Any]):
    """A list got from a draft."""

    def __init__(self, items: list[Any], draft: Draft) -> None:
        """Belong to `draft`."""
        self.draft = draft
        super().__init__(items)


def _guard(method: Callable[..., Any]) -> Callable[..., Any]:
    def checked(
        self: GuardedDict | GuardedList, *args: object, **kwargs: object
    ) -> object:
        self.draft.check_open()
        return method(self, *args, **kwargs)

    checked.__name__ = method.__name__
    return checked


_unguarded = {"__class__", "__class_getitem__", "__delattr__", "__dir__", "__doc__"}
_unguarded |= {"__getattribute__", "__hash__", "__init__", "__init_subclass__"}
_unguarded |= {"__new__", "__repr__", "__setattr__", "__sizeof__", "__subclasshook__"}
"""What an object needs to be handled at all, without being looked into."""

for _class, _base in ((GuardedDict, dict), (GuardedList, list)):
    for _name in vars(_base):
        if _name not in _unguarded and callable(getattr(_base, _name)):
            setattr(_class, _name, _guard(getattr(_base, _name)))
