"""Break edgeflow on purpose, in one place after the other, and see a test find it.

    uv run python -m tests.mutants [PART OF A NAME]

Works on a copy in a temporary folder, and prints a table. Fails if a mutant survives,
or does not fit the code any more.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import TYPE_CHECKING

from tests.mutants.catalogue import MUTANTS, Mutant

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

ROOT = Path(__file__).parents[2]
PARTS = ("edgeflow", "adapters", "tests", "examples", "pyproject.toml")
"""What tests need of the repository."""

PASSED, FAILED = 0, 1
"""Exit codes of pytest; others say that it could not run the tests."""

LIMIT = 120
"""Seconds for some tests."""


class Copy:
    """A copy of the repository."""

    def __init__(self, folder: Path) -> None:
        """Fill an empty folder."""
        self.folder = folder
        ignored = shutil.ignore_patterns("__pycache__", ".*")
        for part in PARTS:
            if (ROOT / part).is_dir():
                shutil.copytree(ROOT / part, folder / part, ignore=ignored)
            else:
                shutil.copy(ROOT / part, folder)

    @contextmanager
    def broken(self, mutant: Mutant) -> Generator[None]:
        """Hold a mutant.

        Raises:
            ValueError: if what it replaces is not there exactly once.
        """
        file = self.folder / mutant.file
        text = file.read_text("utf-8")
        found = text.count(mutant.old)
        if found != 1:
            raise ValueError(
                f"{mutant.name!r}: {mutant.file} has {mutant.old!r} {found} times, and "
                "not once: fit tests/mutants/catalogue.py to the code"
            )
        file.write_text(text.replace(mutant.old, mutant.new), "utf-8")
        try:
            yield
        finally:
            file.write_text(text, "utf-8")

    def check_imports(self) -> None:
        """See that what is tested is the copy.

        Raises:
            RuntimeError: if it is not.
        """
        code = (
            "import edgeflow as e, edgeflow_memory as m; print(e.__file__, m.__file__)"
        )
        done = self._python("-c", code)
        places = done.stdout.split()
        if not places or not all(Path(p).is_relative_to(self.folder) for p in places):
            raise RuntimeError(f"not the copy is imported: {done.stdout}{done.stderr}")

    def test(self, tests: Iterable[str]) -> subprocess.CompletedProcess[str]:
        """Run some tests on the copy."""
        options = ("-q", "-x", "-p", "no:randomly", "-p", "no:cacheprovider")
        found = (f"tests/{test}" for test in tests)
        return self._python("-m", "pytest", *options, "-o", "timeout=15", *found)

    def _python(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join(map(str, (self.folder, self.folder / "adapters")))
        # Nothing of how this process is tested: what counts is the copy.
        kept = {
            k: v for k, v in os.environ.items() if not k.startswith(("COV", "EDGE"))
        }
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=kept | {"PYTHONPATH": path, "CI": "1"},
            capture_output=True,
            encoding="utf-8",
            timeout=LIMIT,
            check=False,
        )


def main(part: str = "", mutants: Iterable[Mutant] = MUTANTS) -> int:
    """Try the mutants with `part` in their name; give the exit code."""
    mutants = [mutant for mutant in mutants if part in mutant.name]
    with copied() as copy:
        copy.check_imports()
        sound = copy.test(dict.fromkeys(mutant.found_by for mutant in mutants))
    if sound.returncode != PASSED:
        print(f"Without any mutant:\n{sound.stdout}{sound.stderr}")  # noqa: T201
        return 2
    print("| mutant | found by | s |\n| --- | --- | --- |")  # noqa: T201
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return max(pool.map(_try, mutants), default=PASSED)


@contextmanager
def copied() -> Generator[Copy]:
    """Hold a copy in a folder of its own."""
    with TemporaryDirectory() as folder:
        yield Copy(Path(folder).resolve())


def _try(mutant: Mutant) -> int:
    began = perf_counter()
    with copied() as copy, copy.broken(mutant):
        done = copy.test([mutant.found_by])
    verdict = {PASSED: "**it survives**", FAILED: f"`{mutant.found_by}`"}
    what = verdict.get(done.returncode, "**no test can run**")
    took = perf_counter() - began
    print(f"| {mutant.name} | {what} | {took:.1f} |", flush=True)  # noqa: T201
    if done.returncode == FAILED:
        return PASSED
    print(f"{done.stdout}{done.stderr}", file=sys.stderr)  # noqa: T201
    return FAILED


if __name__ == "__main__":
    sys.exit(main("".join(sys.argv[1:2])))
