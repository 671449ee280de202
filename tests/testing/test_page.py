"""What docs/testing.md says is run: its tests, its commands, its failure."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")

# Of the many tests of a store one is enough to see that the page has it right.
CHOICE = "not TestMyMachine and (not TestMyStore or read_in_order)"

pytestmark = pytest.mark.timeout(120)


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words,
        cwd=folder,
        capture_output=True,
        check=False,
        encoding="utf-8",
        timeout=100,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the page, and what its commands make of an order that waits."""
    folder = tmp_path_factory.mktemp("page")
    for block in blocks("python"):
        name = re.match(r"# (\w+\.py)\n", block)
        assert name, f"this block does not say which file it is:\n{block}"
        (folder / name[1]).write_text(block, encoding="utf-8")
    python = ("-m", "edgeflow", "run", "shop.py:fulfil", "--id", "o-4711", "--once")
    order = '{"id": "o-4711", "cents": 4200}'
    assert run(folder, sys.executable, *python, "--input", order).returncode == 3
    command = f"{Path(sys.executable).parent / 'edgeflow'}"
    for line in "".join(blocks("console")).splitlines():
        done = run(folder, "sh", "-c", re.sub("^edgeflow", command, line))
        assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def shown(folder: Path) -> str:
    """What pytest says to the tests of the page."""
    options = ("-v", "-p", "no:randomly", "-p", "no:cacheprovider", "-k", CHOICE)
    modes = ("asyncio_mode=auto", "asyncio_default_fixture_loop_scope=function")
    settings = (word for mode in modes for word in ("-o", mode))
    return run(folder, sys.executable, "-m", "pytest", *options, *settings).stdout


def test_every_block_of_the_page_is_known_to_this_file() -> None:
    fences = re.findall(r"^```(.*)$", PAGE, re.MULTILINE)

    assert set(fences) == {"python", "console", "text", ""}
    assert len(blocks("text")) == 1


def test_the_tests_of_the_page_pass_but_for_the_one_that_shows_a_failure(
    shown: str,
) -> None:
    failed = set(re.findall(r"^(\S+) FAILED", shown, re.MULTILINE))
    passed = set(re.findall(r"^(\w+\.py)::\S+ PASSED", shown, re.MULTILINE))

    assert failed == {"test_mail.py::test_a_crash_sends_no_mail_twice"}, shown
    assert passed == {
        "test_shop.py",
        "test_faults.py",
        "test_processes.py",
        "test_histories.py",
        "test_my_store.py",
    }, shown


def test_the_failure_is_printed_as_the_page_has_it(shown: str) -> None:
    marked = re.findall(r"^E( .*|)$", shown, re.MULTILINE)

    assert dedent("\n".join(line.rstrip() for line in marked)) == blocks("text")[0][:-1]


def test_a_complete_test_of_a_workflow_is_shorter_than_thirty_lines() -> None:
    (test,) = [block for block in blocks("python") if "# test_shop.py" in block]

    assert test.count("\n") < 30
