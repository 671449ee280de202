"""Finding the App and the workflow that a TARGET names."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from traceback import extract_tb
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard

from edgeflow.app import App
from edgeflow.cli._errors import UsageError
from edgeflow.workflows import Workflow

if TYPE_CHECKING:
    from types import ModuleType

AnyWorkflow: TypeAlias = Workflow[Any, Any]


def find_workflow(target: str, store: str | None) -> tuple[App, AnyWorkflow]:
    """Import what `target` names; `store` replaces the store of its App.

    Raises:
        UsageError: if there is no such module or attribute, or it is no workflow.
    """
    module, attribute = _load(target)
    found: object
    if attribute:
        found = _attribute(module, attribute)
    else:
        found = _only_workflow(module, target)
    if isinstance(found, App):
        found = _only_workflow_of(found, target)
    found = _unwrapped(found)
    if not _is_workflow(found):
        raise UsageError(
            f"{target} ({type(found).__name__}) is no workflow; {_offer(module)}"
        )
    return _placed(_app_of(found, module), store), found


def find_app(target: str, store: str | None) -> App:
    """Import the App that `target` names, or that of the workflow it names.

    Raises:
        UsageError: if there is no such module or attribute, or no App.
    """
    module, attribute = _load(target)
    found = _attribute(module, attribute) if attribute else _only_app(module, target)
    found = _unwrapped(found)
    if _is_workflow(found):
        found = _app_of(found, module)
    if not isinstance(found, App):
        raise UsageError(
            f"{target} ({type(found).__name__}) is no App; {_offer(module)}"
        )
    return _placed(found, store)


def _unwrapped(value: object) -> object:
    """Give the workflow of a handler, else the value itself."""
    inner: object = getattr(value, "workflow", None)
    return inner if _is_workflow(inner) else value


def _is_workflow(value: object) -> TypeGuard[AnyWorkflow]:
    return isinstance(value, Workflow)


def _placed(app: App, store: str | None) -> App:
    if store is not None:
        app.use_store(store)
    return app


# --- modules ----------------------------------------------------------------------


def _load(target: str) -> tuple[ModuleType, str]:
    """Import the module of a target; give the rest of it too."""
    place, _, attribute = target.rpartition(":")
    if not place or target.endswith(".py"):
        place, attribute = target, ""
    if not place.endswith(".py"):
        return _import_module(place), attribute
    return _import_file(Path(place)), attribute


def _import_module(name: str) -> ModuleType:
    here = str(Path.cwd())  # an installed command does not look there by itself
    if here not in sys.path:
        sys.path.insert(0, here)
    if not all(part.isidentifier() for part in name.split(".")):
        raise UsageError(
            f"{name!r} names no module: write module:attr or path/to/file.py:attr"
        )
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name and f"{name}.".startswith(f"{error.name}."):
            hint = (
                f"; for a file write {name}.py" if Path(f"{name}.py").exists() else ""
            )
            raise UsageError(f"there is no module {error.name!r}{hint}") from error
        raise _failed(name, error) from error
    except (Exception, SystemExit) as error:
        raise _failed(name, error) from error


def _import_file(path: Path) -> ModuleType:
    """Import a file as Python would run it: its directory first on the path."""
    if not path.is_file():
        raise UsageError(f"there is no file {path}")
    sys.path.insert(0, str(path.parent.resolve()))
    # Its own name, for the qualified names of its exceptions, unless that is taken.
    name = f"{path.stem}_py" if path.stem in sys.modules else path.stem
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path} is no Python file")
    module = sys.modules[name] = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise _failed(str(path), error) from error
    return module


def _failed(place: str, error: BaseException) -> UsageError:
    frames = extract_tb(error.__traceback__)
    where = ""
    if frames and not isinstance(error, SyntaxError):  # that one says it itself
        last = frames[-1]
        where = f" ({last.filename}, line {last.lineno})"
    return UsageError(
        f"{place} cannot be imported: {type(error).__name__}: {error}{where}"
    )


# --- what a module holds ------------------------------------------------------------


def _apps(module: ModuleType) -> dict[str, App]:
    return {k: v for k, v in vars(module).items() if isinstance(v, App)}


def _workflows(module: ModuleType) -> dict[str, AnyWorkflow]:
    """Give the workflows that a module holds, by attribute or registered name."""
    found: dict[str, AnyWorkflow] = {
        key: value for key, value in vars(module).items() if isinstance(value, Workflow)
    }
    for app in _apps(module).values():
        for workflow in app.workflows:
            if workflow not in found.values():
                found[workflow.name] = workflow
    return found


def _attribute(module: ModuleType, path: str) -> object:
    found: object = module
    try:
        for name in path.split("."):
            found = getattr(found, name)
    except AttributeError:
        for workflow in _workflows(module).values():
            if workflow.name == path:
                return workflow
        raise UsageError(
            f"{module.__name__} has no {path!r}; {_offer(module)}"
        ) from None
    return found


def _offer(module: ModuleType) -> str:
    kinds = (("workflow", list(_workflows(module))), ("App", list(_apps(module))))
    offers = [
        f"the {kind}{'' if len(names) == 1 else 's'} {', '.join(names)}"
        for kind, names in kinds
        if names
    ]
    return f"it has {' and '.join(offers) or 'neither a workflow nor an App'}"


def _only_workflow(module: ModuleType, place: str) -> AnyWorkflow:
    workflows = list({id(w): w for w in _workflows(module).values()}.values())
    if len(workflows) == 1:
        return workflows[0]
    place = place.rstrip(":")
    raise UsageError(f"say which workflow, as {place}:attr; {_offer(module)}")


def _only_workflow_of(app: App, target: str) -> AnyWorkflow:
    if len(app.workflows) == 1:
        return app.workflows[0]
    names = ", ".join(workflow.name for workflow in app.workflows)
    if not names:
        raise UsageError(f"the App {target} has no workflow")
    raise UsageError(f"say which workflow of the App {target}: it has {names}")


def _only_app(module: ModuleType, place: str) -> App:
    apps = list({id(app): app for app in _apps(module).values()}.values())
    if len(apps) == 1:
        return apps[0]
    if apps:
        raise UsageError(f"say which App, as {place}:attr; {_offer(module)}")
    if workflows := _workflows(module):
        return _app_of(next(iter(workflows.values())), module)
    raise UsageError(f"{place} has no App; {_offer(module)}")


def _app_of(workflow: AnyWorkflow, module: ModuleType) -> App:
    """Give the App that has the workflow, or one for all workflows of its module."""
    home = sys.modules.get(workflow.function.__module__, module)
    for place in (module, home):
        for app in _apps(place).values():
            if app.known(workflow.name) is workflow:
                return app
    return App(workflows=_workflows(home).values())
