"""What the README says is run: its programs, its commands, its claims."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


PROGRAMS = blocks("python")
SMALLEST = PROGRAMS[0]


def run(folder: Path, *words: str) -> str:
    done = subprocess.run(
        words, cwd=folder, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_block_of_the_readme_is_known_to_this_file() -> None:
    fences = re.findall(r"^```(\w+)$", README, re.MULTILINE)

    assert fences == [
        "console",
        *["python"] * 9,
        "console",
        "toml",
        "console",
        "python",
    ]


def test_the_programs_of_the_readme_run_one_after_the_other(tmp_path: Path) -> None:
    program = tmp_path / "readme.py"
    program.write_text("\n\n".join(PROGRAMS), encoding="utf-8")

    lines = run(tmp_path, sys.executable, str(program)).splitlines()

    assert lines[0] == "hello Ada, and good bye"
    assert re.fullmatch(r"payment-\w{8}, label for o-1, approved by Grace", lines[1]), (
        lines
    )
    assert lines[2] == "{'charged': 4200}"
    assert [line.split()[0] for line in lines[3:]] == [
        "charge",
        "status",
        "receive",
        "print_label",
        "sleep",
    ]


def test_the_smallest_program_calls_its_step_once_however_often_it_is_run(
    tmp_path: Path,
) -> None:
    program = tmp_path / "hello.py"
    noted = SMALLEST.replace(
        "    return f", '    open("calls", "a").write("x")\n    return f', 1
    )
    program.write_text(noted, encoding="utf-8")

    outputs = {run(tmp_path, sys.executable, str(program)) for _ in range(2)}

    assert outputs == {"hello Ada, and good bye\n"}
    assert (tmp_path / "calls").read_text() == "x"


def test_the_commands_of_the_readme_work_on_the_smallest_program(
    tmp_path: Path,
) -> None:
    (tmp_path / "hello.py").write_text(SMALLEST, encoding="utf-8")
    command = Path(sys.executable).parent / "edgeflow"
    commands = blocks("console")[2].strip().splitlines()

    outputs = [
        run(tmp_path, "sh", "-c", line.replace("edgeflow", str(command), 1))
        for line in commands
    ]

    assert outputs[0] == '"hello Ada, and good bye"\n'
    assert "completed" in outputs[1]
    assert "✓ greet" in outputs[2]
    assert outputs[4] == outputs[0]


WORDS = """
from edgeflow_memory import MemoryStore


async def each_word() -> None:
    words = App(MemoryStore(), workflows=app.workflows)
    print(await words.run(shop_around, ["a", "bb"]))
    amounts = words.handle("sum")
    for name, number in (("amount", 2), ("amount", 3), ("close", None)):
        await amounts.send(name, number)
    print(await words.run(meter, id="sum"))
    print(await words.run(fulfil_all, [Order("o-3", 0)], id="all"))
    print(await words.run(welcome, "Ada"))
    try:
        await words.run(journey, ["1a", "2b"])
    except Exception as error:
        print(type(error).__name__)


asyncio.run(each_word())
"""


def test_each_word_of_the_readme_does_what_it_says(tmp_path: Path) -> None:
    program = tmp_path / "words.py"
    program.write_text("\n\n".join([*PROGRAMS, WORDS]), encoding="utf-8")

    lines = run(tmp_path, sys.executable, str(program)).splitlines()[-9:]

    assert lines == [
        "1 6 6 late",
        "5",
        "['not charged: nothing to charge']",
        "hello Ada, how do you do",
        "reserved 1a",
        "reserved 2b",
        "released 2b",
        "released 1a",
        "WorkflowFailed",
    ]


def test_the_tests_of_the_readme_pass(tmp_path: Path) -> None:
    program = tmp_path / "test_readme.py"
    program.write_text("\n\n".join(PROGRAMS), encoding="utf-8")

    modes = ("asyncio_mode=auto", "asyncio_default_fixture_loop_scope=function")
    options = [word for mode in modes for word in ("-o", mode)]
    output = run(tmp_path, sys.executable, "-m", "pytest", "-q", *options)

    tests = re.findall(r"^async def test_", "".join(PROGRAMS), re.MULTILINE)
    assert f"{len(tests)} passed" in output


def test_the_readme_lists_every_example() -> None:
    listed = set(re.findall(r"^\| \[(\w+\.py)\]\(examples/\1\)", README, re.MULTILINE))
    there = {file.name for file in (ROOT / "examples").glob("*.py")}

    assert listed == there - {"bank.py", "settle.py"}


def test_the_first_command_of_the_readme_settles_the_payments(tmp_path: Path) -> None:
    first = blocks("console")[0].splitlines()[0]
    assert first.endswith("uv run examples/settle.py")
    shutil.copytree(ROOT / "examples", tmp_path / "examples")

    words = [sys.executable, "examples/settle.py", "--pace", "0.01"]
    output = run(tmp_path, *words)

    report = (tmp_path / "settlement.txt").read_text(encoding="utf-8")
    assert report in output
    assert "Blue Bicycle           24,851.46 EUR" in report


def test_the_second_command_of_the_readme_is_what_the_gate_calls() -> None:
    second = blocks("console")[0].splitlines()[1]
    gate = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()

    assert second == "uv run tox"
    assert second in [line.strip().removeprefix("exec ") for line in gate]
