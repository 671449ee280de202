"""`python -m tests.servers.moto_in_turn PORT`: moto's DynamoDB, a request at a time.

Its own server has threads, and looks at a condition before it takes any lock: of two
conditional puts at once both may be told that they won, as DynamoDB never tells.
"""

from __future__ import annotations

import sys
import threading
from importlib import import_module
from typing import TYPE_CHECKING, Any

from werkzeug.serving import run_simple

from tests.servers.server import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Iterable


def main() -> None:
    """Serve until killed."""
    moto: Any = import_module("moto.moto_server.werkzeug_app")
    app: Any = moto.create_backend_app("dynamodb")
    turn = threading.Lock()

    def in_turn(environ: Any, start_response: Any) -> Iterable[bytes]:
        with turn:
            return list(app(environ, start_response))

    run_simple(
        LOOPBACK,
        int(sys.argv[1]),
        in_turn,
        threaded=True,
        request_handler=moto.MotoRequestHandler,
    )


if __name__ == "__main__":
    main()
