"""The house stands as ARCHITECTURE says: layers, sizes, the public face, the files."""

from __future__ import annotations

import ast
import inspect
import json
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.resources import files
from importlib.util import resolve_name
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import edgeflow

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT = Path(__file__).parents[1]

# Top to bottom. A module imports from its own layer and from those below it;
# `name.*` is a package and all that is in it. What only a type checker imports
# (`if TYPE_CHECKING:`) is free.
LAYERS = (
    ("edgeflow.__main__", "edgeflow.cli.*", "edgeflow.testing.*"),
    ("edgeflow",),
    (
        "edgeflow.app",
        "edgeflow.definitions",
        "edgeflow.handle",
        "edgeflow.handlers",
        "edgeflow.ingress.*",
    ),
    (
        "edgeflow.copying",
        "edgeflow.landing",
        "edgeflow.making",
        "edgeflow.platforms",
        "edgeflow.plugins",
        "edgeflow.posting",
        "edgeflow.probing",
        "edgeflow.registry",
        "edgeflow.session",
        "edgeflow.ward",
        "edgeflow.starting",
        "edgeflow.stores",
    ),
    (
        "edgeflow.context",
        "edgeflow.calls",
        "edgeflow.blocks",
        "edgeflow.words",
        "edgeflow.workflows",
        "edgeflow.steps",
    ),
    (
        "edgeflow.engine.worker",
        "edgeflow.engine.attending",
        "edgeflow.engine.poller",
        "edgeflow.engine.due",
        "edgeflow.engine.rescue",
        "edgeflow.engine.lifecycle",
        "edgeflow.engine.forgetting",
        "edgeflow.engine.openings",
        "edgeflow.engine.retention",
        "edgeflow.engine.children",
        "edgeflow.engine.checking",
        "edgeflow.engine.undo",
        "edgeflow.engine.evicting",
        "edgeflow.engine.plan",
        "edgeflow.engine.parking",
        "edgeflow.engine.bells",
        "edgeflow.engine.waiters",
        "edgeflow.engine.waking",
        "edgeflow.engine.opening",
        "edgeflow.engine.run",
        "edgeflow.engine.pacing",
        "edgeflow.engine.listening",
        "edgeflow.engine.cancelling",
        "edgeflow.engine.desk",
        "edgeflow.engine.resting",
        "edgeflow.engine.ending",
        "edgeflow.engine.flushing",
        "edgeflow.engine.settings",
        "edgeflow.engine.ops.*",
        "edgeflow.engine.operation",
        "edgeflow.engine.arguments",
        "edgeflow.engine.attempt",
    ),
    (
        "edgeflow.engine.inbox",
        "edgeflow.engine.journal",
        "edgeflow.engine.reading",
        "edgeflow.engine.entries",
        "edgeflow.engine.lines",
        "edgeflow.engine.arming",
        "edgeflow.engine.committing",
        "edgeflow.engine.composing",
        "edgeflow.engine.carrying",
        "edgeflow.engine.frames",
        "edgeflow.engine.failures",
        "edgeflow.engine.timers",
        "edgeflow.engine.scope",
        "edgeflow.engine.threads",
        "edgeflow.engine.observing",
        "edgeflow.engine.shutdown",
        "edgeflow.engine.wiring",
        "edgeflow.engine.loop",
        "edgeflow.engine.eager",
        "edgeflow.engine.order",
        "edgeflow.engine.queues",
        "edgeflow.engine.wholeness",
    ),
    (
        "edgeflow.state",
        "edgeflow.guards",
        "edgeflow.retry",
        "edgeflow.values.*",
        "edgeflow.clock",
        "edgeflow.logs",
    ),
    ("edgeflow.outcome", "edgeflow.events", "edgeflow.store", "edgeflow.platform"),
    ("edgeflow.config.*",),
    ("edgeflow.errors", "edgeflow.engine"),
    ("edgeflow.late",),
)

ADAPTERS_MAY_IMPORT = {
    "edgeflow.config",
    "edgeflow.errors",
    "edgeflow.platform",
    "edgeflow.store",
}

# ASGI is the shape of many platforms: their adapters may build on this one.
SHAPES = {"edgeflow_asgi"}

LONGEST_MODULE = 400

# Costly, or not there on every platform: imported where they are first needed.
NEVER_FOR_A_NAME = {"aiosqlite", "anyio", "orjson", "sqlite3", "structlog"}
NEVER_AT_IMPORT = {*NEVER_FOR_A_NAME, "asyncio.subprocess", "multiprocessing"}

# In pieces, or this file would name them.
PACKAGE_HOSTS = tuple(
    ".".join(parts)
    for parts in (
        ("crates", "io"),
        ("debian", "org"),
        ("npmjs", "com"),
        ("npmjs", "org"),
        ("pypi", "org"),
        ("pythonhosted", "org"),
    )
)
MACHINE_PATH = re.compile(r"(?<![\w.~-])/(?:root|home|Users|work)/[\w.]")


def modules_under(root: Path, pattern: str) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(root.glob(f"{pattern}/**/*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        found[".".join(parts).removesuffix(".__init__")] = path
    return found


LIBRARY = modules_under(ROOT, "edgeflow")
ADAPTERS = modules_under(ROOT / "adapters", "edgeflow_*")


def layer_of(module: str) -> int | None:
    for number, rooms in enumerate(LAYERS):
        for room in rooms:
            package = room.removesuffix(".*")
            if module == package or (
                room.endswith(".*") and module.startswith(f"{package}.")
            ):
                return number
    return None


def runtime_nodes(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for other in child.orelse:
                yield other
                yield from runtime_nodes(other)
        else:
            yield child
            yield from runtime_nodes(child)


def imports(module: str, path: Path, nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Full names of the modules that these nodes import, also inside functions."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = resolve_name("." * node.level + (node.module or ""), package)
            for alias in node.names:
                name = f"{base}.{alias.name}"
                yield name if name in LIBRARY or name in ADAPTERS else base


def runtime_imports(module: str, path: Path) -> set[str]:
    tree = ast.parse(path.read_text("utf-8"))
    return set(imports(module, path, runtime_nodes(tree)))


def is_ours(module: str) -> bool:
    return module.partition(".")[0] == "edgeflow"


def is_adapter(module: str) -> bool:
    return module.startswith("edgeflow_")


@pytest.mark.parametrize("module", LIBRARY)
def test_a_module_has_its_layer(module: str) -> None:
    assert layer_of(module) is not None, (
        f"{module} is in no layer: put it into LAYERS of tests/test_house.py."
    )


@pytest.mark.parametrize("module", LIBRARY)
def test_arrows_run_downwards(module: str) -> None:
    mine = layer_of(module)
    upwards = {
        name
        for name in runtime_imports(module, LIBRARY[module])
        if is_ours(name)
        and mine is not None
        and (theirs := layer_of(name)) is not None
        and theirs < mine
    }

    assert not upwards, f"{module} imports from above itself: {upwards}."


@pytest.mark.parametrize("module", LIBRARY)
def test_the_library_imports_no_adapter(module: str) -> None:
    adapters = {n for n in runtime_imports(module, LIBRARY[module]) if is_adapter(n)}

    assert not adapters, f"{module} imports {adapters}: use the entry point."


@pytest.mark.parametrize("module", ADAPTERS)
def test_an_adapter_knows_only_its_protocol(module: str) -> None:
    own = module.partition(".")[0]
    strangers = {
        name
        for name in runtime_imports(module, ADAPTERS[module])
        if (is_ours(name) and name not in ADAPTERS_MAY_IMPORT)
        or (is_adapter(name) and name.partition(".")[0] not in {own, *SHAPES})
    }

    assert not strangers, f"{module} imports {strangers}: not an adapter's business."


@pytest.mark.parametrize("module", LIBRARY | ADAPTERS)
def test_no_module_is_long(module: str) -> None:
    lines = len((LIBRARY | ADAPTERS)[module].read_text("utf-8").splitlines())

    assert lines <= LONGEST_MODULE, f"{module} has {lines} lines: it is two ideas."


def test_all_is_what_a_type_checker_sees() -> None:
    """The lazy table and the static imports of `edgeflow` agree."""
    tree = ast.parse(LIBRARY["edgeflow"].read_text("utf-8"))
    static = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and is_ours(node.module or "")
        for alias in node.names
    }

    assert static == set(edgeflow.__all__)


def test_all_is_what_dir_shows() -> None:
    shown = {name for name in dir(edgeflow) if not name.startswith("_")}
    submodules = {name for name in shown if f"edgeflow.{name}" in LIBRARY}

    assert shown - submodules <= set(edgeflow.__all__) <= shown


def is_explained(name: str) -> bool:
    value: object = getattr(edgeflow, name)
    if not (inspect.isclass(value) or inspect.isroutine(value)):
        return True  # a type alias or a value: no place for a docstring
    doc = value.__doc__ or ""
    # A dataclass without a docstring gets its signature for one.
    return bool(doc) and not doc.startswith(f"{name}(")


def test_every_public_name_is_explained() -> None:
    silent = [name for name in edgeflow.__all__ if not is_explained(name)]

    assert not silent


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        getattr(edgeflow, "no_such_name")  # noqa: B009


SCRIPT = """
import sys
sys.path[:] = {path!r}
{code}
import _thread, json
print(json.dumps([list(sys.modules), _thread._count()]))
"""


def in_fresh_process(code: str) -> tuple[set[str], int]:
    """Names of the modules loaded, and number of threads started, by `code`."""
    done = subprocess.run(
        # -S: a .pth file, of coverage or an editor, would load modules of its own.
        [sys.executable, "-I", "-S", "-c", SCRIPT.format(path=sys.path, code=code)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.returncode, done.stderr
    loaded, threads = json.loads(done.stdout)
    return set(loaded), threads


def test_import_edgeflow_is_cheap() -> None:
    loaded, threads = in_fresh_process("import edgeflow")

    assert "edgeflow" in loaded
    assert loaded.isdisjoint(NEVER_AT_IMPORT), loaded & NEVER_AT_IMPORT
    assert threads == 0


def test_no_public_name_loads_what_is_costly() -> None:
    loaded, threads = in_fresh_process(
        "import edgeflow\nfor name in edgeflow.__all__: getattr(edgeflow, name)"
    )

    assert loaded.isdisjoint(NEVER_FOR_A_NAME), loaded & NEVER_FOR_A_NAME
    assert threads == 0


@pytest.mark.parametrize(
    "package", ["edgeflow", *sorted({name.partition(".")[0] for name in ADAPTERS})]
)
def test_an_installed_package_is_typed(package: str) -> None:
    assert (files(package) / "py.typed").is_file()


def repository() -> list[Path]:
    """Every file that is, or would be, committed."""
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("only a git checkout says which files are the repository")
    listed = subprocess.run(
        [git, "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    paths = (ROOT / name for name in listed.stdout.split("\0") if name)
    return [path for path in paths if path.is_file()]


def places(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{number}: {found[0]}"
        for path in repository()
        for number, line in enumerate(
            path.read_text("utf-8", errors="replace").splitlines(), start=1
        )
        if (found := pattern.search(line))
    ]


def test_no_file_names_a_package_host() -> None:
    assert not places(re.compile("|".join(map(re.escape, PACKAGE_HOSTS))))


def test_no_file_holds_a_path_of_one_machine() -> None:
    assert not places(MACHINE_PATH)


def locked() -> dict[str, str]:
    lock = (ROOT / "requirements.lock").read_text("utf-8")
    return dict(re.findall(r"^([\w-]+)==(\S+)", lock, flags=re.MULTILINE))


def test_the_lock_holds_every_direct_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    wanted = [
        requirement
        for group in (
            project["project"]["dependencies"],
            *project["project"].get("optional-dependencies", {}).values(),
            *project["dependency-groups"].values(),
        )
        for requirement in group
        if isinstance(requirement, str)
    ]
    names = {re.split(r"[^\w.-]", text)[0].lower().replace("_", "-") for text in wanted}

    assert not names - set(locked()), "renew requirements.lock: see CONTRIBUTING.md"


def test_the_hooks_use_the_ruff_of_the_lock() -> None:
    hooks = (ROOT / ".pre-commit-config.yaml").read_text("utf-8")

    assert set(re.findall(r"ruff==([\w.]+)", hooks)) == {locked()["ruff"]}
