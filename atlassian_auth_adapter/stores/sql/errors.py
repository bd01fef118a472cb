"""What the errors of database drivers mean, as data: which ones pass, and what to do about each.

An error is known by its code: an SQLSTATE (PostgreSQL), a number (MariaDB, MySQL) or a name
(SQLite). Sources, read 2026-11-22: appendix A of PostgreSQL's manual; "MariaDB Error Codes";
sqlite.org/rescode.html.
"""

from __future__ import annotations

import re

__all__ = [
    "CONFLICTS",
    "DUPLICATE_ROW",
    "DUPLICATE_TABLE",
    "code_of",
    "is_outage",
    "is_permanent_refusal",
    "statement_failed",
]

#: Another process's statement was first: send this one again.
CONFLICTS = {
    *("40001", "40P01", "55P03"),
    *("1020", "1205", "1213"),
    *("SQLITE_BUSY", "SQLITE_LOCKED"),
}

#: Another process has made the same row (MySQL), or the same table or a part of it.
DUPLICATE_ROW = {"1062"}
DUPLICATE_TABLE = {"23505", "42710", "42P07", "1050"}

#: The server starts, stops or is full, or the network is down. (And all of SQLSTATE 08.)
_OUTAGES = {
    *("57P01", "57P02", "57P03", "53300"),
    *("1040", "1053", "1203", "2002", "2003", "2005", "2006", "2013", "2055"),
}

#: psycopg gives a refused connection no SQLSTATE. Words of permanent refusals, and the exceptions.
_REFUSALS = re.compile("FATAL|ERROR|password|certificate|does not support")
_PASSING_REFUSALS = re.compile(
    "starting up|shutting down|recovery|not yet accepting|terminating|too many|connection slots|"
    "no more connections|try again|cannot connect|timeout|server conn"
)

#: What to do about a failed statement, by its codes, or by SQLite's words.
_ADVICE = {
    ("42P01", "1146", "no such table"): (
        "{where} does not exist. Create it once: "
        "SQLTokenStore(engine, table={table!r}).create_table()"
    ),
    ("42703", "1054", "no such column"): (
        "{where} lacks a column: it was made by an earlier release, in a form that this one does "
        "not read. Drop it (DROP TABLE {quoted}), call create_table(), and sign in again."
    ),
    ("42501", "1142", "1044", "1143"): (
        "{failure}. Grant this login SELECT, INSERT, UPDATE and DELETE on the table."
    ),
    ("25006", "1290", "1792", "1836", "SQLITE_READONLY"): (
        "{failure}. It is read-only: name the primary, or a file that this process may write to."
    ),
    ("53100", "1021", "1114", "SQLITE_FULL"): "{failure}. Free some space.",
    ("SQLITE_BUSY", "1205"): (
        "{failure}. Another process has locked it for a long time: look for that process."
    ),
}


def code_of(error: object) -> str:
    """The code of a driver's error, or ""."""
    number = next(iter(getattr(error, "args", ())), None)
    if isinstance(number, int):  # PyMySQL has an SQLSTATE as well, which says less
        return str(number)
    for name in ("sqlstate", "pgcode", "sqlite_errorname"):
        if code := getattr(error, name, None):
            # SQLite's extended names: SQLITE_BUSY_RECOVERY, SQLITE_READONLY_DIRECTORY, ...
            return "_".join(str(code).split("_")[:2])
    return ""


def is_outage(code: str) -> bool:
    """Whether the server cannot be reached just now."""
    return code in _OUTAGES or code.startswith("08")


def is_permanent_refusal(text: str) -> bool:
    """Whether a refused connection, with this text of the driver, would be refused again."""
    return bool(_REFUSALS.search(text)) and not _PASSING_REFUSALS.search(text)


def statement_failed(code: str, text: str, **values: str) -> str:
    """The message for a statement that failed, without the driver's text, which may hold secrets.

    Args:
        code: The code of the error.
        text: The driver's text, in which SQLite's words are looked for.
        values: `failure`, `where`, `table` and `quoted` (the table's name as SQL).
    """
    for signs, advice in _ADVICE.items():
        if code in signs or any(" " in sign and sign in text for sign in signs):
            return advice.format(**values)
    return f"{values['failure']}. Look into the log of the database."
