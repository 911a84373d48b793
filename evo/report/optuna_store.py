"""The stores of Optuna: databases, and journal files. How they are named, opened and read."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from evo.errors import UserError
from evo.report.optuna_study import import_optuna
from evo.texts import as_path

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.study._frozen import FrozenStudy

_DATABASES = (".db", ".sqlite", ".sqlite3")
_SQLITE = b"SQLite format 3\0"
_JOURNAL = b'"op_code"'
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
        """The store as people may see it: without the password in the address of a database."""
        return re.sub(r"(://[^/@:]*:)[^/@]*@", r"\1***@", self.where)

    @property
    def is_database(self) -> bool:
        """Whether it is a database rather than a journal file."""
        return "://" in self.where

    @property
    def file(self) -> Path | None:
        """The file of the store; None for a database on a server, or in memory."""
        if not self.is_database:
            return as_path(self.where)
        _, is_sqlite, path = self.where.partition("sqlite:///")
        path = path.partition("?")[0]
        return as_path(path) if is_sqlite and path not in ("", ":memory:") else None


def parse_store(text: str) -> StoreName:
    """What a user names: `sqlite:///study.db`, `study.db` or `journal.log`, each perhaps with `#NAME` of a study.

    Args:
        text: The name. A file that ends in .db, .sqlite or .sqlite3, or is an SQLite database, is a database; any other
            one is a journal.

    Raises:
        UserError: There is no name.

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
        where = f"sqlite:///{where}"
    return StoreName(where, study)


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


def open_storage(name: StoreName, backend: Any = None) -> BaseStorage:
    """Open a store, which is made when it does not exist.

    Args:
        name: The store.
        backend: Replaces the backend of a journal; see `optuna.storages.journal`. None means one of the file itself.

    Raises:
        UserError: It cannot be opened, or Optuna is not installed.
    """
    storages = import_optuna().storages
    begin = b"" if name.is_database else _begin(name.where)
    if begin and _JOURNAL not in begin.partition(b"\n")[0]:  # Optuna adds its lines to whatever is there.
        raise UserError(
            f"{name} is no journal of Optuna, so it is left as it is: name another file; a database is named with its "
            "scheme, as in sqlite:///study.db"
        )
    with explained(name):
        opened: BaseStorage
        if name.is_database:
            # Somebody else, such as a dashboard, may use an SQLite file at the same time.
            arguments = {"connect_args": {"timeout": 60}} if name.file else {}
            opened = storages.RDBStorage(name.where, engine_kwargs=arguments)
        else:
            opened = storages.JournalStorage(backend or journal_backend(name))
        return opened


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
        reason = str(getattr(error, "orig", None) or error).splitlines()[0]
        raise UserError(f"the Optuna store {name} cannot be used: {reason}{_ADVICE}") from error
    except (OptunaError, RuntimeError) as error:
        cause = getattr(error.__cause__, "orig", None) or error
        raise UserError(f"the Optuna store {name} cannot be used: {str(cause).splitlines()[0]}{_ADVICE}") from error
    except (ValueError, KeyError, TypeError, AttributeError, AssertionError) as error:
        if name.is_database:
            raise
        raise UserError(
            f"{name} is no journal of Optuna: {type(error).__name__}: {error}; a database is named with its "
            "scheme, as in sqlite:///study.db"
        ) from error


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
