"""Dagster's records in a Postgres server: the setting ``postgres`` as Dagster's configuration, and whether it answers.

Belongs here: what the setting means. Neither Dagster nor its package for Postgres is imported before it is asked for.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.machine import Fault, answer_within

BEGIN, END = "# begin: the setting postgres", "# end: the setting postgres"
_BLOCK = re.compile(rf"\n*{re.escape(BEGIN)}\n.*?{re.escape(END)}\n?", re.DOTALL)
TIMEOUT = 1.8
"""Seconds until a server that does not answer counts as unreachable. libpq's own limit is at least two, for each of the
server's addresses."""
EXTRA = "pip install 'biomedica-assets[postgres]'"
PATTERN = r"^(postgres(ql)?://\S+/[^/\s]+)?$"
_START = "start the server, or correct the address"
_PASSWORD = "give the password in PGPASSWORD, or in ~/.pgpass (mode 600)"  # noqa: S105 - says where one is
_CURES = {
    "password": _PASSWORD,
    "authentication": _PASSWORD,
    "does not exist": "make it with createuser and createdb, or correct the address",
}
"""Words of libpq's -> what to do."""
_OWNER = "biomedica/data_directory"
"""Under which the records name the data directory that they are of."""


class RecordsUnreachable(PermanentFailure):
    """The server of Dagster's records cannot be used; the message says why and what to do."""


def without_password(url: str) -> str:
    """The address, refused if it holds a password: settings are written to files that people pass on.

    Raises:
        ValueError: it does.
    """
    if urlsplit(url).password:
        raise ValueError("a password does not belong in a setting; put it in PGPASSWORD, or in ~/.pgpass (mode 600)")
    return url


def configured(text: str, url: str, where: str) -> str:
    """Text of ``dagster.yaml`` with the storage that the setting asks for, and without one that it no longer does.

    Args:
        text: of the file; what people wrote in it stays as it is.
        url: the setting; empty for SQLite.
        where: names the file in messages.

    Raises:
        PermanentFailure: the file has a storage of its own beside the setting.
    """
    import yaml

    own = _BLOCK.sub("\n", text) if _BLOCK.search(text) else text
    if not url:
        return own
    try:
        said: Any = yaml.safe_load(own) or {}
    except yaml.YAMLError as error:
        raise PermanentFailure(f"{where} is no YAML ({' '.join(str(error).split())}); correct it") from error
    if isinstance(said, Mapping) and "storage" in said:
        raise PermanentFailure(
            f"{where} has a storage of its own, and the setting postgres names another: take one of them away"
        )
    block = f"{BEGIN}\nstorage:\n  postgres:\n    postgres_url: {_quoted(_for_sqlalchemy(url))}\n{END}\n"
    return f"{own.rstrip()}\n\n{block}"


def check(url: str) -> None:
    """Refuse a server that cannot keep records, before anything is begun.

    Raises:
        RecordsUnreachable: it does not answer, refuses us, has no such database or lets us make no tables.
    """
    if (found := fault(url)) is not None:
        raise RecordsUnreachable(f"postgres {shown(url)}: {found.why}; {found.cure}")


def fault(url: str, timeout: float = TIMEOUT) -> Fault | None:
    """Why a server cannot keep Dagster's records; None if it can. Answers within ``timeout`` seconds."""
    if importlib.util.find_spec("dagster_postgres") is None or importlib.util.find_spec("psycopg2") is None:
        return Fault("the packages for it are not installed", EXTRA)
    return answer_within(timeout, lambda: _asked(url), Fault(f"no answer within {timeout:g} s", _START))


def shown(url: str) -> str:
    """The address for people: without a password, which a file of Dagster's own may hold."""
    parts = urlsplit(url)
    return url.replace(f":{parts.password}@", "@", 1) if parts.password else url


def _asked(url: str) -> Fault | None:
    import psycopg2

    try:
        connection = psycopg2.connect(_for_libpq(url), connect_timeout=2)
    except psycopg2.Error as error:
        words = " ".join(str(error).split())
        return Fault(words, next((cure for word, cure in _CURES.items() if word in words), _START))
    except UnicodeDecodeError:
        return Fault("it refuses us in a language that cannot be read", "see the server's log")
    try:
        with connection.cursor() as cursor:
            cursor.execute("select current_user, has_schema_privilege(current_schema(), 'CREATE')")
            user, may = cursor.fetchone() or ("", False)
    except psycopg2.Error as error:
        return Fault(" ".join(str(error).split()), "see the server's log")
    finally:
        connection.close()
    return None if may else Fault(f"{user} may make no tables there", f"grant create on schema public to {user}")


def claim(instance: Any, identity: str, url: str) -> None:
    """Note in the records which data directory they are of.

    Raises:
        PermanentFailure: they are another's: what is made and what is recorded would part.
    """
    held = instance.run_storage.get_cursor_values({_OWNER}).get(_OWNER)
    if held is None:
        instance.run_storage.set_cursor_values({_OWNER: identity})
    elif held != identity:
        raise PermanentFailure(
            f"postgres {shown(url)}: it holds the records of another data directory; make one for each with createdb"
        )


def _for_sqlalchemy(url: str) -> str:
    """The address with its driver: SQLAlchemy 2.1 means psycopg 3 where none is named, Dagster brings psycopg2."""
    return re.sub(r"^postgres(ql)?://", "postgresql+psycopg2://", url)


def _for_libpq(url: str) -> str:
    return re.sub(r"^postgres(ql)?(\+\w+)?://", "postgresql://", url)


def _quoted(url: str) -> str:
    return '"' + url.replace("\\", "\\\\").replace('"', '\\"') + '"'
