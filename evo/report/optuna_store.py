"""The stores of Optuna: databases, and journal files. How they are named, opened and read."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, unquote

from evo.errors import UserError
from evo.report.optuna_study import import_optuna
from evo.texts import as_path

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.study._frozen import FrozenStudy
    from sqlalchemy.engine import URL

_DATABASES = (".db", ".sqlite", ".sqlite3")
_SQLITE = b"SQLite format 3\0"
_JOURNAL = b'"op_code"'
_TABLES = {"studies", "version_info"}  # What every database of Optuna's has.
_WAIT = 60.0  # Seconds in which somebody else, such as a dashboard, may write to an SQLite file.
_ADVICE = "; name another, such as sqlite:///study.db or journal.log"


class StoreName(NamedTuple):
    """Which study in which store is meant.

    Args:
        where: The address of a database, as SQLAlchemy writes it, or the path of a journal file.
        study: The name of the study; empty when none is named.
    """

    where: str
    study: str = ""

    def __str__(self) -> str:
        """The store as people may see it: without the passwords in the address of a database."""
        if not self.is_database:
            return self.where
        try:
            url = _address(self)
        except UserError:
            return _without_secrets(self.where)
        secrets = [key for key in url.query if "pass" in key.lower()]
        if "@" in (url.host or ""):  # A part of a password that should have been written as %40.
            return _without_secrets(self.where)
        if url.password is None and not secrets:
            return self.where
        return url.difference_update_query(secrets).render_as_string(hide_password=True)

    @property
    def is_database(self) -> bool:
        """Whether it is a database rather than a journal file."""
        return "://" in self.where

    @property
    def file(self) -> Path | None:
        """The file of the store; None for a database on a server, or in memory."""
        if not self.is_database:
            return as_path(self.where)
        url = _address(self)
        path = url.database or ""
        if url.get_backend_name() != "sqlite" or path in ("", ":memory:"):
            return None
        return as_path(unquote(path.removeprefix("file:")) if "uri" in url.query else path)


def _address(name: StoreName) -> URL:
    """The address of a database in its parts.

    Raises:
        UserError: It is none, or SQLAlchemy is not installed, which comes with Optuna.
    """
    import_optuna()
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(name.where)
    except (ArgumentError, ValueError):  # What they say may hold a part of the password.
        raise UserError(
            f"the Optuna store {_without_secrets(name.where)} is no address of a database: write "
            "dialect://user:password@host:port/database, with a whole number as the port and %40, %23 for @, # in a "
            "password"
        ) from None


def _without_secrets(address: str) -> str:
    """An address that cannot be read, without anything in it that may be a password."""
    scheme, _, rest = address.partition("://")
    return f"{scheme}://***" + (f"@{rest.rpartition('@')[2]}" if "@" in rest else "").partition("?")[0]


def parse_store(text: str) -> StoreName:
    """What a user names: `sqlite:///study.db`, `study.db` or `journal.log`, each perhaps with `#NAME` of a study.

    Args:
        text: The name. A file that ends in .db, .sqlite or .sqlite3, or is an SQLite database, is a database; any other
            one is a journal.

    Raises:
        UserError: There is no name, or an address of a database cannot be read.

    Example:
        >>> parse_store("study.db#first")
        StoreName(where='sqlite:///study.db', study='first')
        >>> parse_store("journal.log")
        StoreName(where='journal.log', study='')
    """
    if not text:
        raise UserError(f"an Optuna store has no name{_ADVICE.replace('another', 'one')}")
    where, _, study = (text, "", "") if os.path.exists(text) else text.partition("#")
    if "://" not in where and (where.lower().endswith(_DATABASES) or _begin(where).startswith(_SQLITE)):
        import_optuna()
        from sqlalchemy.engine import URL

        where = URL.create("sqlite", database=where).render_as_string()  # It escapes what means something there.
    name = StoreName(where, study)
    if name.is_database:
        _address(name)
    return name


def is_store(text: str) -> bool:
    """Whether a text names a store that exists, or the address of a database."""
    name = parse_store(text)
    return name.is_database or _JOURNAL in _begin(name.where).partition(b"\n")[0]


def _begin(file: str) -> bytes:
    try:
        with open(as_path(file), "rb") as stream:
            return stream.read(4096)
    except OSError:
        return b""


def open_storage(name: StoreName, backend: Any = None, *, only_reads: bool = False) -> BaseStorage:
    """Open a store, which is made when it does not exist and is to be written.

    Args:
        name: The store.
        backend: Replaces the backend of a journal; see `optuna.storages.journal`. None means one of the file itself.
        only_reads: Whether nothing is to be written, so that nothing is made or changed either.

    Raises:
        UserError: It cannot be opened, is something else, or Optuna is not installed.
    """
    storages = import_optuna().storages
    if only_reads and name.file is not None and not name.file.is_file():
        raise UserError(f"the Optuna store {name} cannot be read: there is no file {name.file}")
    begin = b"" if name.is_database else _begin(name.where)
    if begin and _JOURNAL not in begin.partition(b"\n")[0]:  # Optuna adds its lines to whatever is there.
        raise UserError(
            f"{name} is no journal of Optuna, so it is left as it is: name another file; a database is named with its "
            "scheme, as in sqlite:///study.db"
        )
    with explained(name):
        opened: BaseStorage
        if not name.is_database:
            opened = storages.JournalStorage(backend or journal_backend(name))
            return opened
        arguments: dict[str, Any] = {}
        if (file := name.file) is not None:
            _check_tables(name, file, only_reads)
            arguments = {"creator": lambda: _read_only(file)} if only_reads else {"connect_args": {"timeout": _WAIT}}
        opened = storages.RDBStorage(name.where, engine_kwargs=arguments, skip_table_creation=only_reads)
        return opened


def _check_tables(name: StoreName, file: Path, only_reads: bool) -> None:
    """Refuse an SQLite file of something else, in which Optuna would make its tables.

    Raises:
        UserError: It is one, or no database.
    """
    if not file.exists() or (file.is_file() and file.stat().st_size == 0):
        tables = set()
    else:
        try:
            connection = _read_only(file)
            try:
                tables = {table for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type='table'")}
            finally:
                connection.close()
        except sqlite3.Error as error:
            raise UserError(f"the Optuna store {name} cannot be used: {error}{_ADVICE}") from error
    if not tables >= _TABLES and (tables or only_reads):
        whose = f"is a database of something else, with the tables {', '.join(sorted(tables)[:4])}" if tables else ""
        raise UserError(
            f"the Optuna store {name} {whose or 'is empty'}: "
            + ("it holds no study of Optuna" if only_reads else "it is left as it is; name a new file")
        )


def _read_only(file: Path) -> sqlite3.Connection:
    address = f"file:{quote(os.fsencode(file.absolute()))}?mode=ro"
    # With a log of writes ahead, SQLite makes files beside it even for readers, unless nobody else can have it open.
    if _begin(str(file))[18:20] == b"\2\2" and not os.path.exists(f"{file}-wal"):
        address += "&immutable=1"
    return sqlite3.connect(address, uri=True, timeout=_WAIT, check_same_thread=False)


def journal_backend(name: StoreName) -> Any:
    """The file of a journal of Optuna's."""
    from optuna.storages.journal import JournalFileBackend

    assert name.file is not None
    return JournalFileBackend(str(name.file))


@contextmanager
def explained(name: StoreName) -> Iterator[None]:
    """Turn what Optuna and databases raise for a store that they cannot use into an error for the user."""
    import_optuna()
    import sqlalchemy.exc
    from optuna.exceptions import OptunaError

    try:
        yield
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"the Optuna store {name} cannot be used: {error.strerror or error}{_ADVICE}") from error
    except ImportError as error:
        raise UserError(f"the Optuna store {name} needs a driver that is not installed: {error}") from error
    except sqlalchemy.exc.SQLAlchemyError as error:
        reason = _reason(name, getattr(error, "orig", None) or error)
        raise UserError(f"the Optuna store {name} cannot be used: {reason}{_ADVICE}") from error
    except (OptunaError, RuntimeError) as error:
        reason = _reason(name, getattr(error.__cause__, "orig", None) or error)
        raise UserError(f"the Optuna store {name} cannot be used: {reason}{_ADVICE}") from error
    except (ValueError, KeyError, TypeError, AttributeError, AssertionError) as error:
        if name.is_database:
            raise
        raise UserError(
            f"{name} is no journal of Optuna: {type(error).__name__}: {error}; a database is named with its "
            "scheme, as in sqlite:///study.db"
        ) from error


def _reason(name: StoreName, error: BaseException) -> str:
    """The first line of an error, without the passwords that its address of a database may hold."""
    text = (str(error).splitlines() or [type(error).__name__])[0]
    password = _address(name).password if name.is_database else None
    text = text.replace(name.where, str(name))
    return text.replace(str(password), "***") if password else text


def choose_study(storage: BaseStorage, name: StoreName) -> FrozenStudy:
    """The study that is meant: the one that is named, or the only one.

    Args:
        storage: The store.
        name: Its name, perhaps with that of a study.

    Raises:
        UserError: There is no such study, or several while none is named.
    """
    studies = storage.get_all_studies()
    names = ", ".join(repr(study.study_name) for study in studies)
    if name.study:
        found = [study for study in studies if study.study_name == name.study]
        if not found:
            raise UserError(f"the Optuna store {name} has no study {name.study!r}: it has {names or 'none'}")
        return found[0]
    if len(studies) != 1:
        example = f": name one of them, as in {name}#{studies[0].study_name}" if studies else ""
        raise UserError(f"the Optuna store {name} has {len(studies)} studies{names and f', {names}'}{example}")
    return studies[0]
