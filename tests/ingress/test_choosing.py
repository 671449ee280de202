"""Which platform it is: what is said counts, then what is seen; two are too many."""

from __future__ import annotations

import re
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from edgeflow import App, ConfigError
from edgeflow.config import sources
from edgeflow.platform import require
from edgeflow.platforms import Choice, choose, configure, platform_named
from edgeflow.plugins import installed
from tests.ingress.place import Place

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from edgeflow.config import Config

HERE = __name__


class Moon(Place):
    """Recognized by a variable."""

    name = "moon"

    def detect(self, environ: Mapping[str, str]) -> str | None:
        return "MOON is set" if "MOON" in environ else None


class Mars(Place):
    name = "mars"

    def detect(self, environ: Mapping[str, str]) -> str | None:
        return "MARS is set" if "MARS" in environ else None


class Process(Place):
    name = "process"

    def detect(self, environ: Mapping[str, str]) -> str | None:
        pytest.fail("what is left over is not asked")


class Stubborn(Place):
    def __init__(self) -> None:
        raise RuntimeError("no libmoon on this machine")


class World:
    """A machine with some packages, a directory, and an environment."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
        self._patch = monkeypatch
        self.directory = directory
        self.environ: dict[str, str] = {}
        self.install(moon=f"{HERE}:Moon", mars=f"{HERE}:Mars")

    def install(self, **platforms: str) -> None:
        points = {"process": f"{HERE}:Process", **platforms}
        found = {
            name: EntryPoint(name, value, "edgeflow.platforms")
            for name, value in points.items()
        }

        def only_these(group: str) -> Mapping[str, EntryPoint]:
            return found

        self._patch.setattr("edgeflow.platforms.installed", only_these)
        platform_named.cache_clear()

    def write(self, text: str) -> None:
        (self.directory / "edgeflow.toml").write_text(text, "utf-8")

    def choose(self, argument: Any = None) -> Choice:
        found = sources(None, environ=self.environ, directory=self.directory)
        return choose(found, self.environ, argument)

    def chosen(self, argument: Any = None) -> tuple[str, str]:
        choice = self.choose(argument)
        return choice.platform.name, choice.why


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[World]:
    yield World(monkeypatch, tmp_path)
    platform_named.cache_clear()


def test_an_argument_counts_more_than_a_variable_a_file_and_what_is_seen(
    world: World,
) -> None:
    found = [world.chosen()]
    world.environ["MOON"] = "1"
    found.append(world.chosen())
    world.write('platform = "mars"')
    found.append(world.chosen())
    world.environ["EDGEFLOW_PLATFORM"] = "process"
    found.append(world.chosen())
    found.append(world.chosen("moon"))
    given = Mars()
    found.append(world.chosen(given))

    assert found == [
        ("process", "nothing else was detected"),
        ("moon", "MOON is set"),
        ("mars", "edgeflow.toml"),
        ("process", "EDGEFLOW_PLATFORM"),
        ("moon", "argument"),
        ("mars", "argument"),
    ]
    assert world.choose(given).platform is given


def test_what_looks_like_two_is_refused_unless_one_is_named(world: World) -> None:
    world.environ |= {"MOON": "1", "MARS": "1"}

    with pytest.raises(ConfigError, match="say which") as caught:
        world.choose()

    assert "mars (MARS is set) and moon (MOON is set)" in str(caught.value)
    assert world.chosen("moon") == ("moon", "argument")


@pytest.mark.parametrize("by", ["argument", "variable", "file"])
def test_one_that_is_not_installed_is_refused_with_those_that_are(
    world: World, by: str
) -> None:
    if by == "file":
        world.write('platform = "venus"')
    if by == "variable":
        world.environ["EDGEFLOW_PLATFORM"] = "venus"

    with pytest.raises(ConfigError, match="'venus': mars, moon, process"):
        world.choose("venus" if by == "argument" else None)


@pytest.mark.parametrize(
    ("place", "error"),
    [
        ("no_such_package_at_all:Venus", "ModuleNotFoundError"),
        (f"{HERE}:Venus", "AttributeError"),
        (f"{HERE}:Stubborn", "RuntimeError: no libmoon on this machine"),
    ],
)
def test_a_broken_package_names_itself_and_breaks_no_other(
    world: World, place: str, error: str
) -> None:
    world.install(moon=f"{HERE}:Moon", venus=place)

    for argument in (None, "venus"):
        with pytest.raises(ConfigError, match=error) as caught:
            world.choose(argument)

        assert f"platform 'venus' of the package {place.partition(':')[0]}" in str(
            caught.value
        )
        assert "EDGEFLOW_PLATFORM" in str(caught.value)
    assert world.chosen("moon") == ("moon", "argument")
    world.environ["EDGEFLOW_PLATFORM"] = "process"
    assert world.chosen() == ("process", "EDGEFLOW_PLATFORM")


def test_a_platform_is_made_once(world: World) -> None:
    assert world.choose("moon").platform is world.choose("moon").platform


def test_every_platform_that_comes_along_can_be_loaded_and_knows_its_name() -> None:
    platform_named.cache_clear()
    for name in installed("edgeflow.platforms"):
        platform = platform_named(name)

        assert platform.name == name
        assert platform.detect({}) is None


def test_an_app_says_what_it_was_chosen_by() -> None:
    app = App("memory:", platform="process")

    assert (app.platform.name, app.platform_why) == ("process", "argument")
    assert app.config["grace"] == app.platform.grace


# --- what is in force there ---------------------------------------------------------


def settings(config: dict[str, Any], **environ: str) -> Config:
    found = sources(config, environ=environ, directory=Path("/"))
    return configure(found, Choice(Place(), "argument"))


# P-04
@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"max_run": 1}, "max_run = 1s (config) is not above margin = 1s"),
        ({"max_run": 0.5}, "max_run = 0.5s (config) is not above margin = 1s"),
        (
            {"max_run": "5s", "margin": "8s"},
            "max_run = 5s (config) is not above margin = 8s",
        ),
    ],
)
def test_a_run_that_would_be_suspended_at_once_is_refused_by_all_who_read_settings(
    config: dict[str, Any], said: str
) -> None:
    """An app, and the commands `config` and `doctor`, all ask `configure`."""
    with pytest.raises(ConfigError, match=re.escape(said)):
        settings(config)
    with pytest.raises(ConfigError, match=re.escape(said)):
        App("memory:", platform=Place(), config=config)


def test_it_is_said_where_that_was_set() -> None:
    with pytest.raises(ConfigError, match=r"max_run = 1s \(EDGEFLOW_MAX_RUN\) is not"):
        settings({}, EDGEFLOW_MAX_RUN="1s")


def test_a_run_that_is_longer_than_the_margin_and_one_without_an_end_are_allowed() -> (
    None
):
    assert settings({"max_run": 1.1})["max_run"] == 1.1
    assert settings({"margin": "1h"})["max_run"] is None


# --- what wake-ups take ---------------------------------------------------------------


@pytest.mark.parametrize("module", ["no_such_cloud", "no_such_cloud.tasks"])
def test_a_client_library_that_is_missing_is_named_with_how_to_install_it(
    module: str,
) -> None:
    with pytest.raises(ConfigError) as caught:
        require(module, "no-such-cloud-tasks", "cloud")

    assert str(caught.value) == (
        "wake-ups are set up, but no-such-cloud-tasks is not installed: "
        "pip install 'edgeflow-durable[cloud]'"
    )


def test_a_client_library_that_is_there_is_not_loaded() -> None:
    name = "xml.sax.expatreader"
    before = sys.modules.pop(name, None)

    require(name, "xml", "xml")

    assert name not in sys.modules
    if before is not None:
        sys.modules[name] = before
