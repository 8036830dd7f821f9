"""Devices: where a model runs, as whoever serves it says: `cpu`, or a graphics card, `cuda` or `cuda:1`."""

from __future__ import annotations

from servable.errors import EnvironmentFault

CPU = "cpu"


def only_cpu(what: str, device: str, instead: str = "give it that one in the setting devices") -> None:
    """For a runtime that has no other. Raises EnvironmentFault for any other device: nothing is passed over.

    >>> only_cpu("LightGBM models", "cpu")
    """
    if device != CPU:
        raise EnvironmentFault(f"{what} run on 'cpu' here, not on {device!r}: {instead}")


def kind_and_number(device: str) -> tuple[str, int | None]:
    """Which kind of device, and which of several; None where any will do. Raises EnvironmentFault.

    >>> kind_and_number("cuda:1")
    ('cuda', 1)
    """
    kind, colon, number = device.partition(":")
    if colon and not number.isdecimal():
        raise EnvironmentFault(f"there is no device {device!r}: expected 'cpu', 'cuda' or one of several, 'cuda:1'")
    return kind, int(number) if colon else None
