"""Reading the command, and turning every error into one line and an exit code."""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any, NoReturn

from edgeflow.cli._errors import FAILED, SIGNALLED, USAGE, CommandError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TextIO

COMMANDS = {
    "run": "run a workflow, or go on with an instance, until its result is there",
    "serve": "stay, and run what is due",
    "run-due": "run every due instance once",
    "ls": "list instances",
    "show": "show the journal of an instance",
    "send": "send a message to an instance",
    "wake": "run an instance once, if it is due",
    "cancel": "have an instance cancelled, and what it did undone",
    "recover": "let a failed or blocked instance go on from where it stopped",
    "rewind": "let an instance run again from an entry of its history",
    "doctor": "say which platform and store are in force, why, and whether they work",
    "check": "say which instances today's code would block: before a deployment",
    "copy": "copy instances from one store to another, or move them",
    "rm": "forget instances, whatever their status",
    "config": "print the effective settings, and where each comes from",
}

EPILOG = """\
A TARGET is module:attr or path/to/file.py:attr, where attr is a workflow or an App
with one workflow; it may be left out if there is just one. Instances are kept in the
store of the target's App, or in that of --store, or of the configuration (see
edgeflow config), or in sqlite:///edgeflow.db.

exit codes: 0 completed or done, 1 failed, 2 a mistake in the command, 3 suspended
"""

SIGINT, SIGPIPE = 2, 13  # the module signal is not needed for a --help


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see {self.prog} --help)")


class Version(argparse.Action):
    """Looks the version up only if it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any, **__: Any) -> None:
        """Print it and exit."""
        from importlib.metadata import version  # noqa: PLC0415  costly

        sys.stdout.write(f"edgeflow {version('edgeflow-durable')}\n")
        parser.exit()


def parser_for(words: Sequence[str]) -> Parser:
    """Make the parser; of the commands only the one in `words` is imported."""
    plain = argparse.RawDescriptionHelpFormatter
    top = Parser(
        prog="edgeflow",
        description="Durable workflows that outlive their process.",
        epilog=EPILOG,
        formatter_class=plain,
    )
    top.add_argument(
        "--version", action=Version, nargs=0, help="show the version and exit"
    )
    commands = top.add_subparsers(metavar="COMMAND", title="commands", required=True)
    for name, summary in COMMANDS.items():
        command = commands.add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.",
            formatter_class=plain,
        )
        if name == next(iter(words), None):
            module = import_module(f"edgeflow.cli.{name.replace('-', '_')}")
            module.arguments(command)
            command.set_defaults(command=module.command)
            _add_common(command)
    return top


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--store", metavar="URL", help="where instances are kept, instead of elsewhere"
    )
    parser.add_argument("--json", action="store_true", help="print JSON on stdout")
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="log to stderr, with tracebacks"
    )


def dispatch(argv: Sequence[str] | None) -> int:
    """Parse and run a command; give its exit code."""
    words = sys.argv[1:] if argv is None else argv
    verbose = False
    try:
        args = parser_for(words).parse_args(words)
        verbose = args.verbose
        code: int = args.command(args)
        _settle_stderr()
        sys.stdout.flush()
    except SystemExit as end:  # --help and --version
        return end.code if isinstance(end.code, int) else 0
    except BrokenPipeError:
        _hush(sys.stdout)
        return SIGNALLED + SIGPIPE
    except KeyboardInterrupt:
        return _complain("stopped", SIGNALLED + SIGINT)
    except CommandError as error:
        return _complain(str(error), error.code)
    except Exception as error:
        if verbose:
            raise
        return _complain(*_explained(error))
    return code


def _explained(error: Exception) -> tuple[str, int]:
    """Say in one line what went wrong, and whose mistake it was."""
    from edgeflow import errors  # noqa: PLC0415  with its dataclasses

    mistakes = (
        errors.AlreadyExists,
        errors.ConfigError,
        errors.DefinitionError,
        errors.UnknownInstance,
        errors.UnknownWorkflow,
    )
    if isinstance(error, mistakes):
        return str(error), USAGE
    if isinstance(error, errors.EdgeflowError):
        return str(error), FAILED
    name = type(error).__name__
    return f"{name}: {error} (--verbose shows where)", FAILED


def _complain(message: str, code: int) -> int:
    from edgeflow.cli._text import clean  # noqa: PLC0415  only in trouble

    with suppress(OSError):
        sys.stderr.write(f"edgeflow: {clean(message)}\n")
    _settle_stderr()
    return code


def _settle_stderr() -> None:
    try:
        sys.stderr.flush()
    except OSError:
        _hush(sys.stderr)


def _hush(stream: TextIO) -> None:
    """Let the interpreter flush a closed pipe at its end without a complaint."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
    except (OSError, ValueError):
        return
