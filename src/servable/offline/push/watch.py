"""Push now, or push on: a delivery to one URL when it is asked for, or after each switch of the table."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from servable.offline.push.delivery import Delivered, Delivery
from servable.offline.push.open import open_sink
from servable.stores.tables.port import Tables

SECRET: Final = "SERVABLE_WEBHOOK_SECRET"  # noqa: S105 - the name of where it is
LOOK_S: Final = 1.0


def deliver(
    tables: Tables, home: Path, table: str, url: str, *, every: bool = False, dead: bool = False, watch: bool = False
) -> Iterator[Delivered]:
    """What was delivered, once; with `watch` whenever there was something, for ever. `dead`: what was refused before is
    offered once more. Raises NoAnswer, NotFound.
    """
    secret = os.environ.get(SECRET, "")
    open_sink(url, table, secret).close()  # what cannot be meant is told before anything is done
    delivery = Delivery(tables, home, lambda: open_sink(url, table, secret), every=every)
    yield delivery.deliver(table, url, dead=dead)
    while watch:
        time.sleep(LOOK_S)
        told = delivery.deliver(table, url)
        if told.messages or told.refused:
            yield told
