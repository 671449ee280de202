"""An extension of Lambda within this process: only then does SIGTERM come.

Without an extension Lambda kills the process at once. An internal one, which may not
ask for any event, has SIGTERM sent 500 ms before.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-extensions-api.html
https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
"""

from __future__ import annotations

import logging
import os
import threading
import time
from http.client import HTTPConnection, HTTPException, HTTPResponse

NAME = "edgeflow"
BASE = "/2020-01-01/extension"
REGISTER_SECONDS = 1.0
AGAIN_SECONDS = 1.0
"""After a connection that ended, as one may that was restored from a snapshot."""


def register(api: str) -> bool:
    """Register, and stay so; False: it could not be, which the log explains.

    Call it before the runtime asks for its first event: then registration is closed.
    `api`: host and port, as AWS_LAMBDA_RUNTIME_API says.
    """
    connection = HTTPConnection(api, timeout=REGISTER_SECONDS)
    try:
        connection.request(
            "POST",
            f"{BASE}/register",
            b'{"events": []}',
            {"Lambda-Extension-Name": NAME, "Content-Type": "application/json"},
        )
        response = connection.getresponse()
        text = response.read().decode(errors="replace")
    except (OSError, HTTPException) as error:
        return _tell(f"{type(error).__name__}: {error}")
    finally:
        connection.close()
    identifier = response.headers["Lambda-Extension-Identifier"]
    if identifier is None:
        return _tell(f"it answered {response.status}: {text}")
    threading.Thread(
        target=_park, args=(api, identifier), name="edgeflow-extension", daemon=True
    ).start()
    return True


def _tell(why: str) -> bool:
    # With several workers in one environment, all but one find the name taken.
    is_worker = "AWS_LAMBDA_MAX_CONCURRENCY" in os.environ
    logging.getLogger("edgeflow").log(
        logging.DEBUG if is_worker else logging.WARNING,
        "Lambda will not tell us before it ends this process, as the extension %r "
        "could not be registered (%s). Nothing durable depends on it.",
        NAME,
        why,
    )
    return False


def _park(api: str, identifier: str) -> None:
    """Ask for an event, which never comes: who does not ask holds up every start."""
    while True:
        connection = HTTPConnection(api)
        try:
            connection.request(
                "GET",
                f"{BASE}/event/next",
                headers={"Lambda-Extension-Identifier": identifier},
            )
            response: HTTPResponse = connection.getresponse()
            if response.status != 200:  # noqa: PLR2004  OK
                return
        except (OSError, HTTPException):
            time.sleep(AGAIN_SECONDS)
        finally:
            connection.close()
