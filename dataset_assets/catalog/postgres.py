"""A catalog on a PostgreSQL server: how it is reached, who may write, and what its errors mean. No queries of stages.

This module imports psycopg and is imported only where a URL asks for it.
"""

import os
import socket
from typing import Any

import psycopg
from psycopg import errors
from sqlalchemy import URL, Connection, create_engine, event
from sqlalchemy.exc import DBAPIError

from dataset_assets.catalog.backend import Backend

# A lock's number, from its name. Locks are the database's; several catalogs may be in one, each in a schema of its own.
_NUMBER = "hashtextextended(coalesce(current_schema(), '') || '/' || CAST(:name AS text), 0)"

TAKE_LOCK = {  # by whether it is shared: a row that says whether it could be had at once
    shared: f"SELECT pg_try_advisory_lock{'_shared' if shared else ''}({_NUMBER})" for shared in (False, True)
}
# The server's queue: nobody who comes later is served first, not even those who share with whoever holds it.
QUEUE_FOR_LOCK = {
    shared: f"SELECT pg_advisory_lock{'_shared' if shared else ''}({_NUMBER})" for shared in (False, True)
}
# What a session in the queue is given; 0 milliseconds are for ever. One whose process was killed would stay in it, and
# others behind it, where the server does not look whether anybody is there: of those of version 14 Linux' alone can.
SET_PATIENCE = (
    "SELECT set_config('lock_timeout', :milliseconds, false), set_config('statement_timeout', '0', false), "
    "set_config('client_connection_check_interval', CASE WHEN version() LIKE '%linux%' THEN '2s' "
    "ELSE current_setting('client_connection_check_interval') END, false)"
)
RESET_PATIENCE = (
    "SELECT count(set_config(name, reset_val, false)) FROM pg_settings "
    "WHERE name IN ('lock_timeout', 'statement_timeout', 'client_connection_check_interval')"
)
LONGEST_PATIENCE = 2**31 - 1  # milliseconds
# Who a session is, as its process's number alone may be given again; and its end, where the server has not missed it.
_SESSION = "pid || ' ' || extract(epoch FROM backend_start)"
FIND_SESSION = f"SELECT {_SESSION} FROM pg_stat_activity WHERE pid = pg_backend_pid()"
END_SESSION = f"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE {_SESSION} = :session"
UNLOCK_ALL = "SELECT pg_advisory_unlock_all()"
FIND_HOLDER = (
    "SELECT application_name FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE locktype = 'advisory' AND granted "
    "AND objsubid = 1 AND datname = current_database() AND database = datid "
    f"AND (CAST(classid AS bigint) << 32) | CAST(objid AS bigint) = {_NUMBER} ORDER BY backend_start LIMIT 1"
)

_WRITING = "SELECT pg_advisory_xact_lock{shared}(" + _NUMBER.replace(":name", "'writing'") + ")"
_SETTINGS = {
    "cursor_tuple_fraction": "1",  # who asks for rows in portions wants all of them
    "idle_session_timeout": "0",  # a session may hold a lock while a stage works for hours
    "idle_in_transaction_session_timeout": "0",  # and one that writes may compute in between
    "tcp_keepalives_idle": "30",  # the locks of a machine that lost its power are free after a minute
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
}
_CONNECT_SECONDS = 10
_SECRETS = ("password", "sslpassword")  # of what may stand behind the ? of a URL
_LONGEST_NAME = 63  # bytes of an application's name that the server keeps

_REPEATABLE = (errors.SerializationFailure, errors.DeadlockDetected, errors.LockNotAvailable)
_STARTING = (errors.CannotConnectNow, errors.AdminShutdown, errors.CrashShutdown)
_ADVICE: dict[type[Exception], str] = {
    errors.LockNotAvailable: "another process is writing to it; wait for that process or end it, then run this again",
    errors.InsufficientPrivilege: "may this user make tables in it, and write to them?",
    errors.ReadOnlySqlTransaction: "it is a copy that only the main server writes to: give that one's address",
    errors.DiskFull: "make room on the server's disk, then run this again",
    errors.OutOfMemory: "the server has no room for it; for the locks of many partitions raise its "
    "max_locks_per_transaction, or lower partitions_per_run",
}
_WORDS = {  # of errors in connecting, which have no code
    "password": "set it in the URL of dataset.catalog, or in PGPASSWORD or ~/.pgpass",
    "does not exist": "make the database first: createdb",
    "too many": "wait until others have ended, or raise max_connections",
    "no pg_hba.conf entry": "the server lets nobody in from this machine by that name",
    "SSL": "see sslmode in the manual of PostgreSQL",
}
_UNREACHABLE = "is the server running, and can this machine reach it?"
_LOST = "the connection was lost: is the server still running? Run this again, what was committed is kept"


def open_postgres(url: URL, wait_seconds: float) -> Backend:
    """Return the catalog in the database that `url` names; it is reached later."""
    engine = create_engine(
        url.set(drivername="postgresql+psycopg"),
        pool_pre_ping=True,  # a connection may have been lost since it was used
        pool_use_lifo=True,
        max_overflow=-1,  # a thread that writes must not wait for one that reads
        hide_parameters=True,
        connect_args=_connect_arguments(url, lock_timeout=f"{wait_seconds * 1000:.0f}"),
    )

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # What BEGIN IMMEDIATE is in SQLite. The snapshot of a writer is each statement's own (READ COMMITTED): one
        # that was taken before the lock was had would be older than what the writer before it committed.
        lock = connection.get_execution_options().get("catalog_lock")
        if lock is not None:
            connection.exec_driver_sql(_WRITING.format(shared=lock))

    write = {"isolation_level": "READ COMMITTED", "postgresql_readonly": False}
    return Backend(
        name=_name(url),
        spelled=url.difference_update_query(_SECRETS).render_as_string(hide_password=True),
        engine=engine,
        reading={"isolation_level": "REPEATABLE READ", "postgresql_readonly": True},
        writing={**write, "catalog_lock": ""},
        recording={**write, "catalog_lock": "_shared"},
        faults=(DBAPIError, psycopg.Error),
        explain=_explain,
        passes=_passes,
        wait_seconds=wait_seconds,
    )


def is_lock_timeout(error: BaseException | None) -> bool:
    """Return whether an error says that a lock was not free in time."""
    return isinstance(getattr(error, "orig", error), errors.LockNotAvailable)


def _name(url: URL) -> str:
    """Return what to call a catalog in a message: without a password, wherever in the URL that is."""
    told = {key: value for key, value in url.query.items() if key in ("host", "port")}  # a socket's folder
    return url.set(query=told).render_as_string(hide_password=True)


def _connect_arguments(url: URL, **settings: str) -> dict[str, Any]:
    """Return how to connect: our settings of a session, those of the URL, and who we are."""
    given = url.query.get("options", "")
    options = [f"-c {name}={value}" for name, value in {**_SETTINGS, **settings}.items()]
    name = f"dataset-assets {os.getpid()} on {socket.gethostname()}"
    arguments = {"connect_timeout": _CONNECT_SECONDS, "application_name": name[:_LONGEST_NAME]}
    theirs = [given] if isinstance(given, str) else list(given)
    return {
        **{key: value for key, value in arguments.items() if key == "application_name" or key not in url.query},
        "options": " ".join((*options, *filter(None, theirs))),
    }


def _is_lost(error: Exception) -> bool:
    """Return whether an error is that of a connection, and not of what was asked."""
    original = getattr(error, "orig", error)
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    return isinstance(original, (*_STARTING, psycopg.OperationalError)) and original.sqlstate in (
        None,
        *(one.sqlstate for one in _STARTING),
    )


def _passes(error: Exception) -> bool:
    """Return whether the same may well succeed a moment later: a conflict, a server that restarts."""
    return isinstance(getattr(error, "orig", error), _REPEATABLE) or _is_lost(error)


def _explain(error: Exception) -> str:
    """Return what a person can do about an error."""
    original = getattr(error, "orig", error)
    diagnosis = original.diag.message_primary if isinstance(original, psycopg.Error) else None
    said = " ".join((diagnosis or next(iter(str(original).splitlines()), "")).split())  # no rows, no other attempts
    for kind, advice in _ADVICE.items():
        if isinstance(original, kind):
            return f"{said}: {advice}"
    if not _is_lost(error):
        return said
    if "connection to server" not in said and not said.startswith("failed to resolve"):
        return f"{said}: {_LOST}" if said else _LOST
    said = said.removeprefix("connection failed: ").removeprefix("connection is bad: ")
    advice = next((advice for word, advice in _WORDS.items() if word in said), _UNREACHABLE)
    return f"{said}: {advice}"
