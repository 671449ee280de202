"""The table of `DynamoKV`: made if it is missing, and looked at.

boto3 is costly to import and blocks: everything here runs in a thread.
"""

from __future__ import annotations

import threading
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from edgeflow.errors import OutcomeUnknown, StoreUnavailable
from edgeflow.store import Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeVar

    T = TypeVar("T")

PARTITION, SORT, VALUE = "pk", "sk", "v"
SCHEMA: dict[str, Any] = {
    "KeySchema": [
        {"AttributeName": PARTITION, "KeyType": "HASH"},
        {"AttributeName": SORT, "KeyType": "RANGE"},
    ],
    "AttributeDefinitions": [
        {"AttributeName": PARTITION, "AttributeType": "S"},
        {"AttributeName": SORT, "AttributeType": "S"},
    ],
}
COMMAND = (
    "aws dynamodb create-table --table-name {table} --billing-mode PAY_PER_REQUEST "
    "--attribute-definitions AttributeName=pk,AttributeType=S "
    "AttributeName=sk,AttributeType=S "
    "--key-schema AttributeName=pk,KeyType=HASH AttributeName=sk,KeyType=RANGE"
)
CONNECTIONS = 32
TRIES = 120
"""How often it is looked whether a new table is there, each second."""
SERVER_FAILED = 500
TURN = threading.Lock()
"""A session makes one client at a time."""


class Table:
    """One table, and a client that asks for everything once."""

    def __init__(
        self, name: str, region: str | None, endpoint: str | None, timeout: float
    ) -> None:
        """Make the client; credentials and region are boto3's business.

        Raises:
            StoreUnavailable: if boto3 is missing, or knows no region.
        """
        self.name = name
        try:
            import_module("boto3.session")
            config: Any = import_module("botocore.config")
            self._errors: Any = import_module("botocore.exceptions")
        except ImportError as error:
            raise StoreUnavailable(
                f"a store in DynamoDB needs boto3, which cannot be imported ({error}): "
                "pip install 'edgeflow-durable[dynamodb]'"
            ) from error
        # A conditional put that is sent twice says no of its own first time.
        patience = config.Config(
            connect_timeout=timeout,
            read_timeout=timeout,
            max_pool_connections=CONNECTIONS,
            retries={"mode": "standard", "total_max_attempts": 1},
        )
        with TURN:
            self._client = self.told(
                lambda: session().client(
                    "dynamodb",
                    region_name=region,
                    endpoint_url=endpoint,
                    config=patience,
                )
            )

    def close(self) -> None:
        """Drop the connections."""
        self._client.close()

    def call(self, name: str, *, writes: bool = False, **content: Any) -> Any:
        """Ask for something of this table.

        Raises:
            StoreUnavailable: if it was refused or could not be asked for.
            OutcomeUnknown: if the answer to a write was lost; it may have been done.
        """
        work = getattr(self._client, name)
        return self.told(lambda: work(TableName=self.name, **content), writes=writes)

    def told(self, work: Callable[[], T], *, writes: bool = False) -> T:
        """Do something, and tell its failure in our words."""
        errors = self._errors
        try:
            return work()
        except errors.ClientError as error:
            status = error.response["ResponseMetadata"].get("HTTPStatusCode", 0)
            failed = StoreUnavailable(f"DynamoDB table {self.name!r}: {error}")
            if writes and status >= SERVER_FAILED:
                raise OutcomeUnknown(str(failed)) from error
            raise failed from error
        except errors.NoRegionError as error:
            raise StoreUnavailable(
                f"it is not known in which region the DynamoDB table {self.name!r} is: "
                "write ?region=… into the URL, or set AWS_DEFAULT_REGION"
            ) from error
        except (
            errors.NoCredentialsError,
            errors.PartialCredentialsError,
            errors.CredentialRetrievalError,
        ) as error:
            raise StoreUnavailable(
                f"there are no credentials for the DynamoDB table {self.name!r} "
                f"({error}): set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a "
                "profile, or give the machine a role"
            ) from error
        except (errors.EndpointConnectionError, errors.ConnectTimeoutError) as error:
            raise StoreUnavailable(f"DynamoDB cannot be asked: {error}") from error
        except Exception as error:
            kind = OutcomeUnknown if writes else StoreUnavailable
            raise kind(f"DynamoDB table {self.name!r}: {error}") from error

    def state(self) -> dict[str, Any] | None:
        """Describe the table; None if there is none.

        Raises:
            StoreUnavailable: if it may not be looked at, or cannot be reached.
        """
        try:
            found: dict[str, Any] = self.call("describe_table")["Table"]
        except StoreUnavailable as error:
            if code_of(error) == "ResourceNotFoundException":
                return None
            raise
        return found

    def make(self) -> None:
        """Create the table unless it is there, and wait until it can be used.

        Raises:
            StoreUnavailable: if that is not allowed, or it is another kind of table.
        """
        try:
            state = self.state()
            if state is None:
                self._create()
                state = self._ready()
            elif state["TableStatus"] == "CREATING":
                state = self._ready()
        except StoreUnavailable as error:
            if code_of(error) == "AccessDeniedException":
                return  # it may be there all the same: the first read tells
            raise
        if state["KeySchema"] != SCHEMA["KeySchema"]:
            raise StoreUnavailable(
                f"DynamoDB table {self.name!r} has other keys than {PARTITION} and "
                f"{SORT}: name another table, or remove this one"
            )

    def _create(self) -> None:
        try:
            self.call("create_table", BillingMode="PAY_PER_REQUEST", **SCHEMA)
        except StoreUnavailable as error:
            if code_of(error) == "ResourceInUseException":
                return  # somebody else was quicker
            raise StoreUnavailable(
                f"there is no DynamoDB table {self.name!r}, and it cannot be made: "
                f"{error}. Make it by: {COMMAND.format(table=self.name)}"
            ) from error

    def _ready(self) -> dict[str, Any]:
        waiter = self._client.get_waiter("table_exists")
        pause = {"Delay": 1, "MaxAttempts": TRIES}
        self.told(lambda: waiter.wait(TableName=self.name, WaiterConfig=pause))
        made: dict[str, Any] = self.call("describe_table")["Table"]
        return made

    def findings(self) -> Iterator[Finding]:
        """Say whether the table is one whose conditional puts hold."""
        state = self.state()
        if state is None:
            yield Finding("bad", f"there is no table {self.name!r} any more")
            return
        regions = [each["RegionName"] for each in state.get("Replicas", ())]
        if not regions:
            yield Finding("good", "one region: what was answered is in several zones")
        elif state.get("MultiRegionConsistency") == "STRONG":
            yield Finding("good", f"regions {', '.join(regions)}, strongly consistent")
        else:
            yield Finding(
                "bad",
                f"a global table ({', '.join(regions)}) in which the last writer wins: "
                "processes in two regions can both commit to one instance. Use a "
                "table of one region, or one with strong consistency",
            )
        expiry = self.call("describe_time_to_live")["TimeToLiveDescription"]
        if expiry.get("AttributeName") in {PARTITION, SORT, VALUE}:
            yield Finding("bad", "items expire (TTL): turn it off, or data are lost")


@cache
def session() -> Any:
    """Make the session of this process: it reads many files."""
    library: Any = import_module("boto3.session")
    return library.Session()


def code_of(error: StoreUnavailable) -> str:
    """Give the code of DynamoDB's answer; empty if there was none."""
    response: dict[str, Any] = getattr(error.__cause__, "response", {})
    code: str = response.get("Error", {}).get("Code", "")
    return code
