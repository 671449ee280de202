"""Configuration: where a setting is looked for, which one wins, what is refused."""

from __future__ import annotations

import inspect
import itertools
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from edgeflow import App, ConfigError
from edgeflow.config import COUNT, KEYS, TEXT, Key, Setting, files, sources

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgeflow.config import Config, Sources

PAGE = Path(__file__).parents[1] / "docs" / "configuration.md"
MANY = re.MULTILINE | re.DOTALL
OWN = {"queue": Key(TEXT, None, "URL of the queue"), "retries": Key(COUNT, 3, "how")}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A directory at which every search ends."""
    (tmp_path / ".git").mkdir()
    return tmp_path


def read(
    directory: Path,
    config: str | Path | Mapping[str, Any] | None = None,
    **environ: str,
) -> Sources:
    return sources(config, environ=environ, directory=directory)


def refusal(config: Mapping[str, Any], **environ: str) -> str:
    """What is said to settings that are refused on the platform `here`."""
    found = sources(config, environ=environ, directory=Path("/"))
    with pytest.raises(ConfigError) as refused:
        found.config("here", OWN)
    return str(refused.value)


# --- what wins --------------------------------------------------------------------

PLACES = (
    "default",
    "default of here",
    "edgeflow.toml",
    "edgeflow.toml [platform.here]",
    "EDGEFLOW_GRACE",
    "argument",
)


def grace_set_in(project: Path, places: set[str]) -> Setting:
    """What `grace` is if it is set in these places, to the number of each."""
    at = {place: PLACES.index(place) for place in places}
    (project / "edgeflow.toml").write_text(
        (f"grace = {at['edgeflow.toml']}\n" if "edgeflow.toml" in at else "")
        + "[platform.here]\n"
        + (f"grace = {at[PLACES[3]]}\n" if PLACES[3] in at else "")
        + "[platform.elsewhere]\ngrace = 99\n",
        "utf-8",
    )
    environ = {"EDGEFLOW_GRACE": str(at.get("EDGEFLOW_GRACE", ""))}
    config = read(project, **environ).config(
        "here",
        defaults={"grace": 1.0} if "default of here" in at else {},
        arguments={"grace": at.get("argument"), "margin": None},
    )
    assert config["grace"] == config.settings["grace"].value
    return config.settings["grace"]


@pytest.mark.parametrize(("below", "above"), list(itertools.combinations(PLACES, 2)))
def test_of_two_places_the_nearer_to_the_code_wins(
    project: Path, below: str, above: str
) -> None:
    expected = Setting(float(PLACES.index(above)), above)

    assert grace_set_in(project, {below, above}) == expected


def test_of_all_places_the_argument_wins(project: Path) -> None:
    assert grace_set_in(project, set(PLACES)) == Setting(5.0, "argument")


def test_what_is_set_nowhere_has_its_default(project: Path) -> None:
    config = read(project).config("here", OWN)

    assert config.file is None
    assert dict(config) == {
        **{key: meaning.default for key, meaning in KEYS.items()},
        "platform": "here",
        "queue": None,
        "retries": 3,
    }
    others = {key: s for key, s in config.settings.items() if key != "platform"}
    assert {setting.origin for setting in others.values()} == {"default"}
    assert len(config) == len(KEYS) + 2


def test_the_origin_in_a_pyproject_names_its_table(project: Path) -> None:
    (project / "pyproject.toml").write_text(
        "[tool.edgeflow]\nlease = 9\n"
        "[tool.edgeflow.platform.here]\npoll = 8\nretries = 7\n",
        "utf-8",
    )
    config = read(project).config("here", OWN)

    assert config.settings["lease"].origin == "pyproject.toml [tool.edgeflow]"
    table = "pyproject.toml [tool.edgeflow.platform.here]"
    assert config.settings["poll"] == Setting(8.0, table)
    assert config.settings["retries"] == Setting(7, table)


def test_a_default_of_the_platform_is_its_default_from_then_on(project: Path) -> None:
    config = read(project).config("here", defaults={"grace": 0.5})

    assert config.known["grace"].default == 0.5
    assert KEYS["grace"].default == 8.0


def test_a_mapping_stands_for_a_file(project: Path) -> None:
    (project / "edgeflow.toml").write_text("grace = 1", "utf-8")
    given = {"lease": "2m", "platform": {"here": {"lease": "1m"}}}
    config = read(project, given).config("here")

    assert config.settings["lease"] == Setting(60.0, "config [platform.here]")
    assert config["grace"] == 8.0
    assert config.file is None


def test_arguments_are_known_again(project: Path) -> None:
    given = {"grace": 2, "platform": "here", "poll": None, "retries": 5}
    config = read(project).config("here", OWN, arguments=given)

    assert config.arguments == {"grace": 2.0, "retries": 5}
    assert config.sources.config("there", OWN, arguments=config.arguments)["grace"] == 2


# --- the platform -----------------------------------------------------------------


def test_the_platform_is_that_of_the_argument_the_variable_or_the_file(
    project: Path,
) -> None:
    file = {"platform": "of-file"}
    both = read(project, file, EDGEFLOW_PLATFORM="of-variable")

    assert read(project).platform() is None
    assert read(project, file).platform() == Setting("of-file", "config")
    assert both.platform() == Setting("of-variable", "EDGEFLOW_PLATFORM")
    assert both.platform("of-code") == Setting("of-code", "argument")


def test_tables_of_platforms_name_no_platform(project: Path) -> None:
    assert read(project, {"platform": {"here": {}}}).platform() is None


def test_the_configuration_says_how_its_platform_was_found(project: Path) -> None:
    asked = read(project, EDGEFLOW_PLATFORM="here")

    def how(config: Config) -> Setting:
        return config.settings["platform"]

    assert how(asked.config("here")) == Setting("here", "EDGEFLOW_PLATFORM")
    assert how(asked.config("there")) == Setting("there", "detected")
    assert how(read(project).config("here")) == Setting("here", "detected")
    given = asked.config("here", arguments={"platform": object()})
    assert how(given) == Setting("here", "argument")


def test_an_empty_name_of_a_platform_is_refused(project: Path) -> None:
    with pytest.raises(ConfigError, match="argument platform = '' is not allowed"):
        read(project).platform("")


# --- the file ---------------------------------------------------------------------


def test_the_nearest_file_upwards_is_read(project: Path) -> None:
    inner = project / "a" / "b"
    inner.mkdir(parents=True)
    outer = project / "edgeflow.toml"
    outer.write_text("grace = 1", "utf-8")
    assert read(inner).file == outer

    nearer = project / "a" / "pyproject.toml"
    nearer.write_text("[tool.edgeflow]\ngrace = 2", "utf-8")
    found = read(inner)
    assert (found.file, found.config("here")["grace"]) == (nearer, 2)


def test_a_pyproject_without_our_table_is_passed_by(project: Path) -> None:
    inner = project / "a"
    inner.mkdir()
    (project / "edgeflow.toml").write_text("", "utf-8")
    shared = inner / "pyproject.toml"

    for text in ("[tool.other]", "dependencies = ['edgeflow-durable']", "tool = 1"):
        shared.write_text(f"{text}\n#edgeflow", "utf-8")
        assert read(inner).file == project / "edgeflow.toml"
    shared.write_text("[tool.edgeflow]", "utf-8")
    assert read(inner).file == shared


def test_a_pyproject_that_does_not_mention_us_is_not_even_parsed(project: Path) -> None:
    (project / "pyproject.toml").write_text("this is no TOML", "utf-8")

    assert read(project).file is None


@pytest.mark.parametrize("stop", [".git", "HOME", "USERPROFILE"])
def test_the_search_ends_at_a_repository_and_at_the_home(
    project: Path, stop: str
) -> None:
    (project / "edgeflow.toml").write_text("", "utf-8")
    top = project / "top"
    (top / "below").mkdir(parents=True)
    environ: dict[str, str] = {}
    if stop == ".git":
        (top / ".git").write_text("gitdir: elsewhere", "utf-8")  # as in a worktree
    else:
        environ[stop] = f"{top}{os.sep}"

    def found() -> Path | None:
        return sources(environ=environ, directory=top / "below").file

    assert found() is None

    (top / "edgeflow.toml").write_text("", "utf-8")
    assert found() == top / "edgeflow.toml"


def test_the_search_ends_at_the_root() -> None:
    root = Path("/")

    assert read(root / "no" / "such" / "directory").file is None


def test_what_is_no_regular_file_is_passed_by(project: Path) -> None:
    (project / "edgeflow.toml").mkdir()

    assert read(project).file is None


def test_two_files_in_a_directory_are_refused(project: Path) -> None:
    own, shared = project / "edgeflow.toml", project / "pyproject.toml"
    own.write_text("", "utf-8")
    shared.write_text("[tool.edgeflow]", "utf-8")

    with pytest.raises(ConfigError) as refused:
        read(project)
    assert str(own) in str(refused.value)
    assert f"[tool.edgeflow] in {shared}" in str(refused.value)
    assert str(refused.value).endswith("keep one of them")


def test_a_file_can_be_named(project: Path) -> None:
    (project / "edgeflow.toml").write_text("grace = 1", "utf-8")
    (project / "of.toml").write_text("grace = 2", "utf-8")
    (project / "argument.toml").write_text("grace = 3", "utf-8")
    (project / "conf").mkdir()
    shared = project / "conf" / "pyproject.toml"
    shared.write_text("[tool.edgeflow]\ngrace = 4", "utf-8")
    found = [
        read(project),
        read(project, EDGEFLOW_CONFIG="of.toml"),
        read(project, Path("argument.toml"), EDGEFLOW_CONFIG="of.toml"),
        read(Path("/"), str(shared)),
    ]

    configs = [each.config("here") for each in found]
    assert [config["grace"] for config in configs] == [1, 2, 3, 4]
    assert configs[1].settings["grace"].origin == "of.toml"
    assert configs[3].settings["grace"].origin == "pyproject.toml [tool.edgeflow]"
    assert configs[3].file == shared
    assert not configs[1].strangers


def test_a_named_file_has_to_be_there_and_to_be_ours(project: Path) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"no file {project / 'x.toml'}")):
        read(project, "x.toml")
    shared = project / "pyproject.toml"
    shared.write_text("[project]", "utf-8")
    with pytest.raises(ConfigError, match=re.escape(f"{shared} has no table [tool.")):
        read(project, EDGEFLOW_CONFIG="pyproject.toml")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"grace = 1\npoll = = 2", r"is no TOML: .*\(at line 2, column 8\)"),
        (b"version = '\xe4'", "is not UTF-8"),
        (
            b"platform = 'a'\n[platform.b]",
            "is no TOML: .*line 2.*say the former by EDGEFLOW_PLATFORM",
        ),
    ],
)
def test_what_is_no_toml_is_refused_with_the_place(
    project: Path, content: bytes, words: str
) -> None:
    file = project / "edgeflow.toml"
    file.write_bytes(content)

    with pytest.raises(ConfigError, match=f"^{re.escape(str(file))} {words}"):
        read(project)


def test_the_table_of_a_pyproject_in_our_own_file_is_told_apart(project: Path) -> None:
    file = project / "edgeflow.toml"
    file.write_text("[tool.edgeflow]\ngrace = 1", "utf-8")

    with pytest.raises(ConfigError, match=r"leave tool\.edgeflow out of the names"):
        read(project)


def test_our_table_has_to_be_a_table(project: Path) -> None:
    file = project / "pyproject.toml"
    file.write_text("tool.edgeflow = 1", "utf-8")

    with pytest.raises(ConfigError, match="has to be a table"):
        read(project)


def test_a_file_that_cannot_be_read_is_named(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = project / "edgeflow.toml"
    file.write_text("grace = 1", "utf-8")

    def refuse(_: Path) -> bytes:  # root may read whatever its mode says
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(ConfigError, match=r"edgeflow\.toml cannot be read: Permission"):
        read(project)


def test_a_file_is_read_again_only_once_it_has_changed(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = project / "edgeflow.toml"
    file.write_text("grace = 1", "utf-8")
    reads: list[Path] = []
    really = Path.read_bytes

    def note(path: Path) -> bytes:
        reads.append(path)
        return really(path)

    monkeypatch.setattr(Path, "read_bytes", note)

    def grace() -> float:
        found: float = read(project).config("here")["grace"]
        return found

    assert [grace(), grace(), grace()] == [1, 1, 1]
    assert reads == [file]
    file.write_text("grace = 22", "utf-8")
    assert [grace(), grace()] == [22, 22]
    file.write_text("grace = 33", "utf-8")
    os.utime(file, ns=(0, 0))
    assert [grace(), grace()] == [33, 33]
    file.write_text("grace = 4", "utf-8")
    os.utime(file, ns=(0, 0))
    assert [grace(), grace()] == [4, 4]
    assert reads == [file] * 4


def test_what_stands_in_a_file_cannot_be_changed_by_who_reads_it(project: Path) -> None:
    file = project / "edgeflow.toml"
    file.write_text("[platform.here]\ngrace = 1", "utf-8")
    before = files.load(file)
    read(project).config("here")

    assert before == files.load(file) == {"platform": {"here": {"grace": 1}}}


# --- variables --------------------------------------------------------------------


def test_each_key_has_its_variable_those_of_the_platform_too(project: Path) -> None:
    config = read(
        project,
        EDGEFLOW_MAX_DIRTY_BYTES="1MiB",
        EDGEFLOW_STRICT_NAMES="True",
        EDGEFLOW_STORE="memory:",
        EDGEFLOW_VERSION="7",
        EDGEFLOW_QUEUE="q",
    ).config("here", OWN)

    assert config["max_dirty_bytes"] == 2**20
    assert config["strict_names"] is True
    assert (config["store"], config["version"]) == ("memory:", "7")
    assert config.settings["queue"] == Setting("q", "EDGEFLOW_QUEUE")
    assert not config.strangers


@pytest.mark.parametrize("text", ["", "  "])
def test_an_empty_variable_is_not_set(project: Path, text: str) -> None:
    found = read(
        project,
        EDGEFLOW_GRACE=text,
        EDGEFLOW_CONFIG=text,
        EDGEFLOW_PLATFORM=text,
        EDGEFLOW_OTHER=text,
    )

    assert found.platform() is None
    assert found.config("here").settings["grace"] == Setting(8.0, "default")
    assert not found.config("here").strangers


def test_variables_that_no_key_explains_are_listed_and_harmless(project: Path) -> None:
    environ = {
        "EDGEFLOW_SERVICE_HOST": "10.0.0.1",
        "EDGEFLOW_PORT": "tcp://10.0.0.1:80",
        "EDGEFLOW_QUEUE": "q",
        "EDGE": "1",
    }
    found = sources(environ=environ, directory=project)

    hosts = ("EDGEFLOW_PORT", "EDGEFLOW_SERVICE_HOST")
    assert found.config("here", OWN).strangers == hosts
    elsewhere = ("EDGEFLOW_PORT", "EDGEFLOW_QUEUE", "EDGEFLOW_SERVICE_HOST")
    assert found.config("elsewhere").strangers == elsewhere


# --- what is refused --------------------------------------------------------------


def test_an_unknown_key_is_refused_with_its_place_and_what_is_near(
    project: Path,
) -> None:
    file = project / "edgeflow.toml"
    file.write_text("[platform.here]\nmax-parked = 1", "utf-8")
    with pytest.raises(ConfigError) as refused:
        read(project).config("here", OWN)

    message = str(refused.value)
    assert message.startswith(
        f"{file} [platform.here]: max-parked is no setting (did you mean max_parked?); "
        "allowed here: store, durability, "
    )
    assert message.endswith(", queue, retries")


def test_an_unknown_key_that_is_near_to_none_is_refused_with_all() -> None:
    assert refusal({"xyz": 1}) == (
        "argument config: xyz is no setting; allowed here: " + ", ".join(KEYS)
    )


def test_a_key_of_a_platform_is_refused_in_the_general_table() -> None:
    message = refusal({"queue": "q"})

    assert "queue is no setting, but one of this platform" in message
    assert "it belongs in its table platform.here; allowed here: " in message


def test_a_platform_is_not_named_in_the_table_of_one() -> None:
    assert "platform is no setting" in refusal({"platform": {"here": {"platform": 1}}})


def test_an_unknown_argument_is_refused(project: Path) -> None:
    with pytest.raises(ConfigError, match=r"argument lingre is no setting .*linger"):
        read(project).config("here", arguments={"lingre": 1})


def test_tables_of_other_platforms_have_to_be_tables_and_no_more(project: Path) -> None:
    other = {"platform": {"elsewhere": {"whatever": [1], "grace": "?"}}}
    assert read(project, other).config("here")["grace"] == 8

    with pytest.raises(ConfigError, match=r"platform\.elsewhere has to be a table"):
        read(project, {"platform": {"elsewhere": 1}})


def test_a_bad_value_is_refused_with_its_place_and_what_is_allowed(
    project: Path,
) -> None:
    file = project / "pyproject.toml"
    file.write_text("[tool.edgeflow]\ndurability = 'always'", "utf-8")
    with pytest.raises(ConfigError) as refused:
        read(project).config("here")

    assert str(refused.value) == (
        f"{file} [tool.edgeflow]: durability = 'always' is not allowed: "
        "it has to be one of step, behind, suspend"
    )
    assert refusal({}, EDGEFLOW_LEASE="0").startswith(
        "EDGEFLOW_LEASE = '0' is not allowed: it has to be seconds, above 0"
    )
    with pytest.raises(ConfigError, match=r"^argument margin = -1 is not allowed"):
        read(project, {}).config("here", arguments={"margin": -1})


def test_a_long_bad_value_is_cut() -> None:
    message = refusal({"grace": "x" * 1000})

    assert len(message) < 250
    assert "…" in message


@pytest.mark.parametrize("secret", [4711, "open 4711", "ü4711"])
def test_a_bad_secret_is_not_repeated(project: Path, secret: object) -> None:
    with pytest.raises(ConfigError) as refused:
        read(project, {"secret": secret}).config("here")

    assert "secret is not allowed" in str(refused.value)
    assert "visible characters of ASCII" in str(refused.value)
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__
    assert "4711" not in str(refused.value)


# --- the page ---------------------------------------------------------------------


def test_the_page_has_a_row_for_each_key(project: Path) -> None:
    page = PAGE.read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (.*) \| (.*) \| (.*) \|$", page, re.MULTILINE)
    config = read(project).config("here")

    assert {row[0]: list(row[1:]) for row in rows} == {
        key: [
            meaning.kind.allowed,
            "none" if meaning.default is None else f"`{config.text(key)}`",
            meaning.help,
        ]
        for key, meaning in KEYS.items()
    }
    assert [row[0] for row in rows] == list(KEYS)


def test_the_files_of_the_page_are_allowed_and_say_the_same(project: Path) -> None:
    blocks = re.findall(r"^```toml\n# (\S+)\n(.*?)^```", PAGE.read_text("utf-8"), MANY)
    found: list[dict[str, Any]] = []
    for name, text in blocks:
        (project / name).write_text(text, "utf-8")
        config = read(project, project / name).config("aws-lambda")
        assert config.file == project / name
        found.append(dict(config))

    assert [name for name, _ in blocks] == ["edgeflow.toml", "pyproject.toml"]
    assert found[0] == found[1]
    assert found[0]["store"] == "memory:"
    assert found[0]["linger"] == 0.5


def test_the_mistakes_of_the_page_are_told_like_that(project: Path) -> None:
    [text] = re.findall(r"^```text\n(.*?)^```", PAGE.read_text("utf-8"), MANY)
    unknown, bad = (line.removeprefix("edgeflow: ") for line in text.splitlines())
    (project / "pyproject.toml").write_text("[tool.edgeflow]\ngrase = 1", "utf-8")
    with pytest.raises(ConfigError) as refused:
        read(project).config("here")

    assert str(refused.value).startswith(f"{project}{os.sep}{unknown.rstrip('…')}")
    assert refusal({}, EDGEFLOW_DURABILITY="always") == bad


def test_an_app_takes_those_settings_that_the_page_says() -> None:
    page = PAGE.read_text("utf-8")
    [(first, last)] = re.findall(r"takes those from `(\w+)` to `(\w+)`", page)
    keys = list(KEYS)
    said = keys[keys.index(first) : keys.index(last) + 1]
    taken = inspect.signature(App).parameters

    assert [key for key in keys if key in taken] == said
