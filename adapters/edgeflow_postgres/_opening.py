"""Looking at a database before it is used, and making in it what is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.errors import InvalidSchemaName, UndefinedTable

from edgeflow.errors import StoreUnavailable
from edgeflow_postgres import _schema as sql

if TYPE_CHECKING:
    from edgeflow_postgres._pool import Connection


async def prepare(connection: Connection, name: str) -> None:
    """Look whether the tables are there, in one round trip, and make them if not.

    Raises:
        StoreUnavailable: if this database cannot be used; nothing was changed.
    """
    try:
        version = await _look(connection, name)
    except (InvalidSchemaName, UndefinedTable):
        version = 0
    if version < sql.LAYOUT:
        await _make(connection, name)


async def _look(connection: Connection, name: str) -> int:
    """Return the layout that is there, of which ours is a part."""
    row = await _one(connection, sql.STATE)
    version, serves, is_granted, encoding, read_only = row
    _check_server(name, encoding, read_only)
    if serves > sql.LAYOUT:
        raise StoreUnavailable(
            f"{name} was laid out by a newer edgeflow (layout {version}, this one "
            f"knows {sql.LAYOUT}): upgrade edgeflow"
        )
    if not is_granted:
        raise StoreUnavailable(
            f"the role of this process may not use {name} as it must: grant it select, "
            "insert, update and delete on all tables in the schema edgeflow"
        )
    return int(version)


async def _make(connection: Connection, name: str) -> None:
    """Create what is missing, all or nothing; of many processes one does it."""
    number, encoding, read_only = await _one(connection, sql.SERVER)
    if number < sql.OLDEST_SERVER:
        raise StoreUnavailable(
            f"{name} is PostgreSQL {number // 10000}, edgeflow needs 13: upgrade it"
        )
    _check_server(name, encoding, read_only)
    try:
        async with connection.transaction():
            for setting in sql.WHILE_MAKING:
                await connection.execute(setting.encode())
            await connection.execute(
                "select pg_advisory_xact_lock(%s::bigint)", [sql.LOCK]
            )
            has_schema, has_tables = await _one(connection, sql.IS_THERE)
            version = await _look(connection, name) if has_tables else 0
            if not has_schema:
                await connection.execute("create schema edgeflow")
            for statements in sql.LAYOUTS[version:]:
                for statement in statements:
                    await connection.execute(statement.encode())
    except psycopg.errors.InsufficientPrivilege as error:
        why = str(error).strip()
        raise StoreUnavailable(
            f"{name} has no tables of edgeflow yet, and the role of this process may "
            f"not create them ({why}): open the store once as a role that may, or "
            "create the schema edgeflow with that role as its owner"
        ) from error


def _check_server(name: str, encoding: str, read_only: str) -> None:
    if encoding != "UTF8":
        raise StoreUnavailable(
            f"{name} has the encoding {encoding}, which cannot keep every id: create "
            "a database with encoding 'UTF8'"
        )
    if read_only == "on":
        raise StoreUnavailable(
            f"{name} is read-only, a standby perhaps: name the primary, or several "
            "hosts with target_session_attrs=read-write"
        )


async def _one(connection: Connection, statement: str) -> Any:
    cursor = await connection.execute(statement.encode())
    return await cursor.fetchone()
