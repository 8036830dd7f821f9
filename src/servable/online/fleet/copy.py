"""Copy: a shared journal as that of one machine, in a folder: to keep, or to make past states from."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from servable.online.event import decode
from servable.online.fleet.ledger import Ledger
from servable.online.fleet.tables import database_of
from servable.online.journal import Journal


def copy_journal(url: str, learner: str, identity: str, folder: Path) -> None:
    """Write the journal of a learner (`NAME:VERSION`) that machines share through `url` into `folder`, which has none.
    Where nothing was learned there is none afterwards. Raises EnvironmentFault, UsageError for no such URL, Conflict if
    the journal is that of another than `identity`.
    """
    with closing(database_of(url)) as database:
        _copy(Ledger(database, learner, identity, "", 0.0), folder)


def _copy(ledger: Ledger, folder: Path) -> None:
    ledger.standing()
    page = ledger.read(0)
    if page:
        journal = Journal(folder / "journal")
        while page:
            journal.append([decode(event.body) for _, event in page])
            page = ledger.read(0, place=page[-1][0])
        journal.close()
