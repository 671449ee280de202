"""What `StoreMachine` draws its operations from: few values, so that they meet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import strategies as st

from edgeflow.store import Commit, Envelope

if TYPE_CHECKING:
    from edgeflow.store import Status

INSTANCES = ("a", "b", "é")
NOBODY = "nobody"
MESSAGES = tuple("12345")
STATUSES: tuple[Status, ...] = (
    *("pending", "running", "suspended", "suspended", "suspended"),
    *("blocked", "undoing", "completed", "failed", "cancelled"),
)

instances = st.sampled_from([INSTANCES[0], *INSTANCES])
names = st.sampled_from(["n", "o"])
workflows = st.sampled_from(["v", "w"])
statuses = st.sampled_from(STATUSES)
times = st.integers(0, 40).map(lambda half: half / 2)
leases = st.sampled_from([0.0, 0.0, 5.0])
bodies = st.sampled_from(
    [
        *(b"", b"1", b"22", b"333", b"4444", b"\0\xff\n"),
        *(b"", b"1", b"22", b"333", b"88888888", b"too large"),
    ]
)
"""For limits of 8 and 12 bytes; three that fit may be too large together."""
tokens = st.sampled_from([letter * 16 for letter in (b"x", b"y", b"z")])
some_messages = st.lists(st.sampled_from(MESSAGES), max_size=3, unique=True)
envelopes = st.builds(
    Envelope,
    to=st.sampled_from([*INSTANCES, NOBODY]),
    id=st.sampled_from(MESSAGES),
    name=names,
    body=bodies,
    at=st.just(0.0) | times,
)


@st.composite
def commits(draw: st.DrawFn) -> Commit:
    """Draw a commit that lacks nothing but a number that fits."""
    restored = draw(some_messages)
    return Commit(
        seq=1,
        frames=tuple(draw(st.lists(bodies, min_size=1, max_size=3))),
        token=draw(tokens),
        opens=draw(st.sampled_from([False, False, True])),
        snapshot=draw(st.booleans()),
        workflow=draw(workflows),
        status=draw(statuses),
        wake_at=draw(st.none() | times),
        awaiting=tuple(draw(st.lists(names, max_size=2, unique=True))),
        due=draw(st.none() | times),
        now=draw(times),
        lease=draw(leases),
        worker="w",
        acks=tuple(draw(some_messages)),
        restored=tuple(restored),
        restored_bodies=tuple(f"back {each}".encode() for each in restored),
        sends=tuple(draw(st.lists(envelopes, max_size=3))),
    )
