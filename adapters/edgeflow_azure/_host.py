"""What host.json and its overrides say: the worker is not told otherwise."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any, cast

OVERRIDE = "AzureFunctionsJobHost__"
"""What a variable that overrides host.json begins with.

https://learn.microsoft.com/azure/azure-functions/functions-host-json#override-hostjson-values
"""
ROOT = "AzureWebJobsScriptRoot"
"""The variable that names the directory of host.json; else it is the current one."""
DEFAULT_TIMEOUT = 300.0
"""Seconds on the Consumption plan; the other plans give more.

https://learn.microsoft.com/azure/azure-functions/functions-scale#timeout
"""
SPAN = re.compile(r"(?:(\d+)\.)?(\d+):(\d+):(\d+)(?:\.\d+)?")


def function_timeout() -> float:
    """Give the seconds after which the host ends a function, and its process with it.

    A host that sets no limit ("-1") is taken for one with the default: a run that has
    to suspend before is resumed, and one that is never cut may be killed instead.
    """
    found = SPAN.fullmatch(str(_said("functionTimeout")))
    if found is None:
        return DEFAULT_TIMEOUT
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60.0 + seconds or DEFAULT_TIMEOUT


def expects_base64() -> bool:
    """Tell whether the queue trigger takes the content of messages for base64.

    https://learn.microsoft.com/azure/azure-functions/functions-bindings-storage-queue#host-json
    """
    encoding: object = _said("extensions", "queues", "messageEncoding")
    return encoding != "none"


def _said(*keys: str) -> Any:
    """Give a value of host.json, or of the variable that overrides it; None: none."""
    variable = f"{OVERRIDE}{'__'.join(keys)}"
    if variable in os.environ:
        return os.environ[variable]
    value: Any = _file()
    for key in keys:
        value = cast("dict[str, Any]", value).get(key) if _is_table(value) else None
    return value


def _file() -> Any:
    path = Path(os.environ.get(ROOT) or ".") / "host.json"
    try:
        return json.loads(path.read_text("utf-8-sig"))
    except (OSError, ValueError):  # the host itself complains about what is wrong
        return None


def _is_table(value: object) -> bool:
    return isinstance(value, dict)
