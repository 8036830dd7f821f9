"""Words to the service manager: systemd's notification protocol, a datagram of NAME=VALUE lines.

Without a manager (no NOTIFY_SOCKET) every call does nothing. Source: sd_notify(3), sd_watchdog_enabled(3).
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import MutableMapping

logger = logging.getLogger("servable.supervisor")


class Notifier:
    """Speaks to the manager that started this process; takes its variables out of `environ`: they are not for children.

    `watchdog_s` is how long the manager lets us be silent; 0 if it does not watch.
    """

    def __init__(self, environ: MutableMapping[str, str] | None = None) -> None:
        environ = os.environ if environ is None else environ
        self._address = environ.pop("NOTIFY_SOCKET", "")
        watched_pid = environ.pop("WATCHDOG_PID", "")
        watchdog_us = environ.pop("WATCHDOG_USEC", "")
        ours = watchdog_us.isascii() and watchdog_us.isdigit() and watched_pid in ("", str(os.getpid()))
        self.watchdog_s = int(watchdog_us) / 1e6 if ours and self._address else 0.0
        self._status = ""

    def ready(self) -> None:
        """Started, or done with reloading."""
        self._send("READY=1")

    def reloading(self) -> None:
        """A reload has begun; `ready` ends it. The time lets the manager match the two (Type=notify-reload)."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self, within_s: float) -> None:
        """Shutting down, which may take this long."""
        self._send("STOPPING=1", f"EXTEND_TIMEOUT_USEC={within_s * 1e6:.0f}")

    def still_starting(self, for_s: float) -> None:
        """Loading goes on: the start may take this much longer."""
        self._send(f"EXTEND_TIMEOUT_USEC={for_s * 1e6:.0f}")

    def alive(self) -> None:
        """For the manager's watchdog."""
        self._send("WATCHDOG=1")

    def status(self, text: str) -> None:
        """One line for people; sent when it changes."""
        if text != self._status:
            self._status = text
            self._send(f"STATUS={text}")

    def _send(self, *lines: str) -> None:
        if not self._address.startswith(("/", "@")):
            return
        address = "\0" + self._address[1:] if self._address[0] == "@" else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            try:
                sock.sendto("\n".join(lines).encode(), address)
            except OSError as error:
                logger.debug("the service manager at %s does not listen: %s", self._address, error)
