"""Programs that use a store, each a process of its own; some are killed."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from textwrap import dedent
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edgeflow.store import Loaded

COMMITS_AND_WAITS = """
    async def main():
        await store.open()
        await store.commit("i", START)
        os.write(1, b"written")
        await asyncio.sleep(60)

    asyncio.run(main())
    """
COMMITS_FOR_EVER = """
    async def main():
        await store.open()
        loaded = await store.load("i")
        for seq in range(loaded.head.seq + 1 if loaded else 1, 100_000):
            await store.send(Envelope("i", f"in{seq}", "n", b"body"))
            await store.commit("i", replace(START, seq=seq, acks=(f"in{seq}",),
                frames=(b"x" * 5000,), snapshot=seq % 7 == 0,
                sends=(Envelope("peer", f"out{seq}", "n", b"body"),)))
            os.write(1, b".")

    asyncio.run(main())
    """


@dataclass(frozen=True)
class Programs:
    """Programs that begin alike: with a `store` of `sys.argv[1]`, and a `START`."""

    prelude: str

    def start(self, script: str, *arguments: object) -> subprocess.Popen[bytes]:
        code = self.prelude + dedent(script)
        return subprocess.Popen(
            [sys.executable, "-W", "error", "-c", code, *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def kill_once_it_is_told(self, *arguments: object) -> None:
        """Kill a program right after its commit was acknowledged."""
        with self.start(COMMITS_AND_WAITS, *arguments) as process:
            assert process.stdout is not None
            assert process.stdout.read(7) == b"written"
            process.kill()

    def kill_in_the_middle(
        self,
        kills: int,
        load: Callable[[], Sequence[Loaded]],
        sent: Callable[[], Sequence[str]],
        *arguments: object,
    ) -> None:
        """Kill a program that commits for ever, some times; look each time.

        `load` gives the instance "i", `sent` the ids in the inbox of "peer".
        """
        answered = 0
        for kill in range(1, kills + 1):
            with self.start(COMMITS_FOR_EVER, *arguments) as process:
                assert process.stdout is not None
                process.stdout.read(11 * kill)
                process.kill()
                answered += 11 * kill + len(process.stdout.read())
            (loaded,) = load()
            seq = loaded.head.seq

            assert answered <= seq <= answered + 1
            answered = seq
            first = max(1, seq - seq % 7)
            assert [f.seq for f in loaded.frames] == list(range(first, seq + 1))
            assert all(len(f.body) == 5000 for f in loaded.frames)
            assert {m.id for m in loaded.messages} <= {f"in{seq + 1}"}
            assert sent() == [f"out{n}" for n in range(1, seq + 1)]


def finish(process: subprocess.Popen[bytes]) -> bytes:
    """Wait for a program that has nothing to complain of, and give what it wrote."""
    try:
        output, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, errors) == (0, b"")
    return output
