"""Durable execution for asyncio processes that may be gone at any moment.

Every name a user writes is here. Each is imported when it is first used, so
that `import edgeflow` costs a process nothing it does not need.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # that of typing is the same, and costs 6 ms
if TYPE_CHECKING:
    from edgeflow.app import App as App
    from edgeflow.clock import Clock as Clock
    from edgeflow.context import Context as Context
    from edgeflow.engine.attempt import StepContext as StepContext
    from edgeflow.engine.attempt import current_step as current_step
    from edgeflow.engine.frames import Codec as Codec
    from edgeflow.engine.inbox import Message as Message
    from edgeflow.engine.ops.loop import Stop as Stop
    from edgeflow.engine.ops.race import Winner as Winner
    from edgeflow.errors import AlreadyExists as AlreadyExists
    from edgeflow.errors import BodyError as BodyError
    from edgeflow.errors import ChildError as ChildError
    from edgeflow.errors import ConfigError as ConfigError
    from edgeflow.errors import DefinitionError as DefinitionError
    from edgeflow.errors import EdgeflowError as EdgeflowError
    from edgeflow.errors import ErrorInfo as ErrorInfo
    from edgeflow.errors import FatalError as FatalError
    from edgeflow.errors import Fenced as Fenced
    from edgeflow.errors import HistoryDiverged as HistoryDiverged
    from edgeflow.errors import InstanceFinished as InstanceFinished
    from edgeflow.errors import JoinError as JoinError
    from edgeflow.errors import MessageInvalid as MessageInvalid
    from edgeflow.errors import NotRecoverable as NotRecoverable
    from edgeflow.errors import ProcessEnding as ProcessEnding
    from edgeflow.errors import RaceError as RaceError
    from edgeflow.errors import ReceiveTimeout as ReceiveTimeout
    from edgeflow.errors import ReplyRefused as ReplyRefused
    from edgeflow.errors import RetryAfter as RetryAfter
    from edgeflow.errors import StateClosed as StateClosed
    from edgeflow.errors import StateConflict as StateConflict
    from edgeflow.errors import StepError as StepError
    from edgeflow.errors import StoreError as StoreError
    from edgeflow.errors import StoreUnavailable as StoreUnavailable
    from edgeflow.errors import Suspension as Suspension
    from edgeflow.errors import Undecodable as Undecodable
    from edgeflow.errors import Unencodable as Unencodable
    from edgeflow.errors import UnknownEntry as UnknownEntry
    from edgeflow.errors import UnknownInstance as UnknownInstance
    from edgeflow.errors import UnknownWorkflow as UnknownWorkflow
    from edgeflow.errors import ValueRefused as ValueRefused
    from edgeflow.errors import ValueTooLarge as ValueTooLarge
    from edgeflow.errors import WorkflowBlocked as WorkflowBlocked
    from edgeflow.errors import WorkflowCancelled as WorkflowCancelled
    from edgeflow.errors import WorkflowFailed as WorkflowFailed
    from edgeflow.events import Event as Event
    from edgeflow.handle import Handle as Handle
    from edgeflow.handlers import Handler as Handler
    from edgeflow.outcome import EntryInfo as EntryInfo
    from edgeflow.outcome import Info as Info
    from edgeflow.outcome import Outcome as Outcome
    from edgeflow.platform import Action as Action
    from edgeflow.platform import Request as Request
    from edgeflow.retry import Retry as Retry
    from edgeflow.steps import Step as Step
    from edgeflow.steps import step as step
    from edgeflow.store import Store as Store
    from edgeflow.workflows import Workflow as Workflow
    from edgeflow.workflows import workflow as workflow

_HOMES = {
    "edgeflow.app": ("App",),
    "edgeflow.clock": ("Clock",),
    "edgeflow.context": ("Context",),
    "edgeflow.engine.attempt": ("StepContext", "current_step"),
    "edgeflow.engine.frames": ("Codec",),
    "edgeflow.engine.inbox": ("Message",),
    "edgeflow.engine.ops.loop": ("Stop",),
    "edgeflow.engine.ops.race": ("Winner",),
    "edgeflow.errors": (
        "AlreadyExists",
        "BodyError",
        "ChildError",
        "ConfigError",
        "DefinitionError",
        "EdgeflowError",
        "ErrorInfo",
        "FatalError",
        "Fenced",
        "HistoryDiverged",
        "InstanceFinished",
        "JoinError",
        "MessageInvalid",
        "NotRecoverable",
        "ProcessEnding",
        "RaceError",
        "ReceiveTimeout",
        "ReplyRefused",
        "RetryAfter",
        "StateClosed",
        "StateConflict",
        "StepError",
        "StoreError",
        "StoreUnavailable",
        "Suspension",
        "Undecodable",
        "Unencodable",
        "UnknownEntry",
        "UnknownInstance",
        "UnknownWorkflow",
        "ValueRefused",
        "ValueTooLarge",
        "WorkflowBlocked",
        "WorkflowCancelled",
        "WorkflowFailed",
    ),
    "edgeflow.events": ("Event",),
    "edgeflow.handle": ("Handle",),
    "edgeflow.handlers": ("Handler",),
    "edgeflow.outcome": ("EntryInfo", "Info", "Outcome"),
    "edgeflow.platform": ("Action", "Request"),
    "edgeflow.retry": ("Retry",),
    "edgeflow.steps": ("Step", "step"),
    "edgeflow.store": ("Store",),
    "edgeflow.workflows": ("Workflow", "workflow"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)  # noqa: PLE0605  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> object:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'edgeflow' has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
