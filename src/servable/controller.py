"""The process that looks after canaries, while there are any: it is in nobody's way, and may be killed at any time.

`python -m servable.controller --control-fd N`: the supervisor starts it (`server/supervisor/controller.py`). It wires
who watches with who counts and who keeps outcomes.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from servable.errors import UsageError
from servable.server.control import Channel, Start, Want, die_with_parent
from servable.server.logs import set_up_logs

if TYPE_CHECKING:
    from servable.domain.joined import Joined
    from servable.registry.release import Release
    from servable.release.watch import Watch
    from servable.settings import Settings


def watching(settings: Settings, channel: Channel) -> Watch:
    """Who watches, given what it asks: the doors' counts, the registry, the outcomes."""
    from servable.domain.success import parse_success
    from servable.monitoring.join import Trial, join
    from servable.monitoring.outcomes import Outcomes
    from servable.registry.registry import Registry
    from servable.release.acts import Acts
    from servable.release.watch import Watch

    outcomes = Outcomes.at(settings.registry_url, settings.home_path, settings.outcomes_days)

    def joined(name: str, release: Release, before: Joined) -> Joined:
        return join(outcomes, Trial(name, release.began, parse_success(release.terms.success)), before)

    return Watch(
        Acts(Registry.of(settings, "servable controller")),
        lambda: channel.want(Want("stats")),
        lambda name: channel.want(Want("follow", name)),
        joined,
    )


async def _control(control: socket.socket) -> int:
    """Until there are no canaries, or the supervisor is gone."""
    channel = await Channel.open(control)
    start = await anext(aiter(channel))
    if not isinstance(start, Start):
        return 3
    set_up_logs(start.settings)
    looking = asyncio.ensure_future(watching(start.settings, channel).run(start.settings.canary_look_s))
    await asyncio.wait((looking, asyncio.ensure_future(channel.ended())), return_when=asyncio.FIRST_COMPLETED)
    if looking.done():
        looking.result()
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Take the control socket by its number and do what it is there for."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] != ["--control-fd"] or len(words) != 2:
        raise UsageError("this is a process of `servable serve`, which starts it: not for people")
    die_with_parent()
    return asyncio.run(_control(socket.socket(fileno=int(words[1]))))


if __name__ == "__main__":
    logging.captureWarnings(True)
    sys.exit(main())
