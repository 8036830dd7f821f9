"""Push now, or push on: a delivery to one URL when it is asked for, or after each switch of the table."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from servable.offline.push.delivery import Delivered, Delivery
from servable.offline.push.open import open_sink
from servable.stores.tables.port import Tables

SECRET: Final = "SERVABLE_WEBHOOK_SECRET"  # noqa: S105 - the name of where it is
LOOK_S: Final = 1.0


class How(NamedTuple):
    """`every`: all rows, not only those that changed. `dead`: what was refused before is offered once more. `watch`:
    for ever, whenever there is something. `wait` is given seconds, and why there is to be a pause.
    """

    every: bool = False
    dead: bool = False
    watch: bool = False
    wait: Callable[[float, str], None] = lambda pause, _: time.sleep(pause)


ONCE: Final = How()


def deliver(tables: Tables, home: Path, table: str, url: str, how: How = ONCE) -> Iterator[Delivered]:
    """What was delivered. Raises NoAnswer, NotFound."""
    secret = os.environ.get(SECRET, "")
    open_sink(url, table, secret).close()  # what cannot be meant is told before anything is done
    delivery = Delivery(tables, home, lambda: open_sink(url, table, secret), every=how.every, wait=how.wait)
    yield delivery.deliver(table, url, dead=how.dead)
    while how.watch:
        time.sleep(LOOK_S)
        told = delivery.deliver(table, url)
        if told.messages or told.refused:
            yield told
