"""Call the function on this machine, as Lambda would.

python invoke.py EVENT [SECONDS]
"""

import json
import sys
import time

from app import checkout


class Context:
    """What of Lambda's context is looked at."""

    aws_request_id = "local"
    invoked_function_arn = "arn:aws:lambda:eu-west-1:123456789012:function:orders"

    def __init__(self, seconds: float) -> None:
        """Be at the beginning of a call that may take so many seconds."""
        self.ends = time.monotonic() + seconds

    def get_remaining_time_in_millis(self) -> int:
        """Say how long is left."""
        return int(1000 * max(0.0, self.ends - time.monotonic()))


if __name__ == "__main__":
    event, *seconds = sys.argv[1:]
    context = Context(float(seconds[0]) if seconds else 60)
    print(json.dumps(checkout(json.loads(event), context)))
