"""What is refused before anything is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeflow.errors import TooLarge

if TYPE_CHECKING:
    from edgeflow.store import Commit, Envelope, Limits


def check_commit(instance: str, commit: Commit, limits: Limits) -> None:
    """Refuse what no store can hold.

    Raises:
        TooLarge: if a frame, the group of frames or a message is above its limit.
        ValueError: if the commit makes no sense.
    """
    if commit.seq < 1 or not commit.frames:
        raise ValueError("a commit has at least one frame, and numbers start at 1")
    if len(commit.restored) != len(commit.restored_bodies):
        raise ValueError("each restored message needs its body")
    check_texts(instance, *commit.awaiting, *commit.acks, *commit.restored)
    sizes = [len(frame) for frame in commit.frames]
    if max(sizes) > limits.max_frame:
        raise TooLarge(max(sizes), limits.max_frame)
    if sum(sizes) > limits.max_group:
        raise TooLarge(sum(sizes), limits.max_group, "a group of frames")
    for message in commit.sends:
        check_message(message, limits)


def check_message(message: Envelope, limits: Limits) -> None:
    """Refuse a message that no inbox can hold.

    Raises:
        TooLarge: if the body is above the limit.
        ValueError: if an id or name cannot be kept.
    """
    check_texts(message.to, message.id, message.name)
    if len(message.body) > limits.max_frame:
        raise TooLarge(len(message.body), limits.max_frame, "a message")


def check_texts(*texts: str) -> None:
    """Refuse ids and names that not every store can keep apart.

    SQLite's JSON functions cut a text at NUL; lone surrogates have no UTF-8 form.

    Raises:
        ValueError: if one contains either.
    """
    for text in texts:
        text.encode()
        if "\0" in text:
            raise ValueError(f"the id or name {text!r} contains NUL")
