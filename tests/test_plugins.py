"""Adapters that come along are known without a search; strangers are found."""

from __future__ import annotations

import sys
import tomllib
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from edgeflow import ConfigError, plugins
from edgeflow.config import sources
from edgeflow.platforms import choose, platform_named
from edgeflow.plugins import OURS, SIGNS, installed
from edgeflow.stores import store_from_url
from tests.ingress.place import Place

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
PLATFORMS, STORES = "edgeflow.platforms", "edgeflow.stores"
HERE = __name__
ANNOUNCED = f"""
[console_scripts]
moon = moon:main

[{PLATFORMS}]
moon = {HERE}:Moon

[{STORES}]
moon = {HERE}:MoonStore
"""


class Moon(Place):
    """Recognized by a variable."""

    name = "moon"

    def detect(self, environ: Any) -> str | None:
        return "MOON is set" if "MOON" in environ else None


class MoonStore:
    """Made of a URL."""

    def __init__(self, url: str) -> None:
        self.url = url

    @classmethod
    def from_url(cls, url: str) -> MoonStore:
        return cls(url)


class Asked(dict[str, str]):
    """An environment that notes what it is asked for; nothing is set."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __contains__(self, key: object) -> bool:
        self.names.add(str(key))
        return False

    def get(self, key: str, default: Any = None) -> Any:
        self.names.add(key)
        return default


def forget() -> None:
    for found in (plugins.strangers, plugins.may_be_there, plugins.everything):
        found.cache_clear()
    platform_named.cache_clear()


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    forget()
    yield
    monkeypatch.undo()
    forget()


def announce(package: Path, text: str = ANNOUNCED) -> None:
    package.mkdir(parents=True)
    (package / "entry_points.txt").write_text(text, "utf-8")
    (package / "METADATA").write_text("Name: moon\nVersion: 1\n", "utf-8")
    (package / "PKG-INFO").write_text("Name: moon\nVersion: 1\n", "utf-8")


def look_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        pytest.fail("importlib.metadata is costly, and there is no need for it")

    monkeypatch.setattr(plugins, "everything", refuse)


def test_what_comes_along_is_what_pyproject_announces() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]

    for group, ours in OURS.items():
        assert project["entry-points"][group] == ours
    assert SIGNS.keys() == OURS[PLATFORMS].keys()


@pytest.mark.parametrize("name", OURS[PLATFORMS])
def test_a_platform_is_recognized_by_its_signs_alone(name: str) -> None:
    asked = Asked()

    assert platform_named(name).detect(asked) is None
    assert asked.names == set(SIGNS[name])


def test_without_strangers_no_metadata_is_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    announce(tmp_path / "other-1.dist-info", "[console_scripts]\nother = other:main\n")
    announce(tmp_path / "edgeflow_durable-0.dist-info")
    (tmp_path / "old.egg-info").write_text("Name: old", "utf-8")
    gone = str(tmp_path / "gone")
    monkeypatch.setattr(sys, "path", [str(tmp_path), gone, str(tmp_path / "gone.zip")])
    look_is_enough(monkeypatch)

    assert dict(installed(STORES)).keys() == OURS[STORES].keys()
    assert len(installed(STORES)) == len(OURS[STORES])
    assert "moon" not in installed(STORES)


@pytest.mark.parametrize("folder", ["moon-1.dist-info", "Moon.egg-info"])
def test_a_package_of_others_is_found_by_what_it_announces(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, folder: str
) -> None:
    announce(tmp_path / folder)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    nothing = sources({}, environ={}, directory="/")

    choice = choose(nothing, {"MOON": "1"})
    store = cast("MoonStore", store_from_url("moon:full"))

    assert (choice.platform.name, choice.why) == ("moon", "MOON is set")
    assert store.url == "moon:full"
    assert set(installed(PLATFORMS)) == {*OURS[PLATFORMS], "moon"}
    assert choose(nothing, {}).platform.name == "process"


def test_one_in_the_current_directory_is_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    announce(tmp_path / "moon-1.dist-info")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", *sys.path])

    assert "moon" in installed(STORES)


def test_one_in_a_zip_file_is_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with zipfile.ZipFile(tmp_path / "app.zip", "w") as archive:
        archive.writestr("moon-1.dist-info/METADATA", "Name: moon\nVersion: 1\n")
        archive.writestr("moon-1.dist-info/entry_points.txt", ANNOUNCED)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "app.zip")])

    assert "moon" in installed(STORES)


def test_a_finder_of_packages_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    class Finder:
        def find_spec(self, *_: object) -> None:
            return None

        def find_distributions(self, *_: object) -> list[Any]:
            asked.append(self)
            return []

    asked: list[Finder] = []
    monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])

    assert "moon" not in installed(STORES)
    assert asked


def test_ours_are_known_by_their_names_without_a_look(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse() -> bool:
        pytest.fail("what comes along is known")

    monkeypatch.setattr(plugins, "may_be_there", refuse)

    assert "memory" in installed(STORES)
    assert platform_named("process").name == "process"
    assert type(store_from_url("memory:")).__name__ == "MemoryStore"


def test_nobody_takes_one_of_our_names_over(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    announce(tmp_path / "toy.dist-info", f"[{STORES}]\nmemory = {HERE}:MoonStore\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    forget()

    assert type(store_from_url("memory:")).__name__ == "MemoryStore"


def test_a_scheme_that_nobody_announces_is_refused_with_those_that_are() -> None:
    with pytest.raises(ConfigError, match="'mars', as the URL wants: dynamodb, files,"):
        store_from_url("mars:")


def test_one_of_ours_that_cannot_be_loaded_names_the_package(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "edgeflow_vercel", None)

    with pytest.raises(ConfigError, match="of the package edgeflow-durable cannot be"):
        platform_named("vercel")
