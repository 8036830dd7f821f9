"""Which variant of a model goes to a device: a pure function of what was measured and of what is allowed."""

from __future__ import annotations

import msgspec


class Limits(msgspec.Struct, frozen=True):
    """What is allowed: bytes of the model's file, milliseconds of an answer on the device, loss (see `loss.py`). A
    variant that loses is chosen only where a loss is allowed, or where it is `named`.
    """

    max_bytes: int | None = None
    max_latency_ms: float | None = None
    max_loss: float | None = None
    named: str | None = None

    @property
    def tight(self) -> bool:
        """Whether a size or a time is asked for, at the price of an allowed loss."""
        return self.max_bytes is not None or self.max_latency_ms is not None


class Candidate(msgspec.Struct, frozen=True):
    """What was measured of a variant. `fault` tells why it cannot be used at all: it does not run, or the gate
    refuses.
    """

    name: str
    bytes: int
    lossy: bool
    loss: float
    latency_ms: float | None = None
    fault: str = ""


class Choice(msgspec.Struct, frozen=True):
    """`name` is None where none is allowed; `reasons` tell of each other candidate why it is not the one."""

    name: str | None
    reasons: dict[str, str]


def choose(candidates: tuple[Candidate, ...], limits: Limits) -> Choice:
    """The least lossy of those within the limits, of equal ones the smallest; where a loss is allowed and neither size
    nor time is asked for, the smallest.
    """
    reasons = {each.name: _against(each, limits) for each in candidates}
    fit = [each for each in candidates if not reasons[each.name]]
    if not fit:
        return Choice(None, reasons)
    smallest = limits.max_loss is not None and not limits.tight
    best = min(fit, key=lambda each: (each.bytes, each.loss) if smallest else (each.loss * each.lossy, each.bytes))
    why = f"{best.name} is smaller" if smallest else f"{best.name} is closer to the original, or smaller"
    return Choice(best.name, {name: reason or why for name, reason in reasons.items() if name != best.name})


def _against(each: Candidate, limits: Limits) -> str:
    """Everything that speaks against a candidate; empty: nothing."""
    found = [each.fault] if each.fault else []
    if limits.named is not None and each.name != limits.named:
        found.append(f"{limits.named} was asked for")
    if limits.max_bytes is not None and each.bytes > limits.max_bytes:
        found.append(f"{each.bytes:,} bytes are over {limits.max_bytes:,}")
    if limits.max_latency_ms is not None:
        if each.latency_ms is None:
            found.append("its time was not measured")
        elif each.latency_ms > limits.max_latency_ms:
            found.append(f"{each.latency_ms:.3g} ms are over {limits.max_latency_ms:g} ms")
    if each.lossy and limits.max_loss is not None and each.loss > limits.max_loss:
        found.append(f"a loss of {each.loss:.2g} is over {limits.max_loss:g}")
    elif each.lossy and limits.max_loss is None and limits.named is None:
        found.append(f"it loses {each.loss:.2g}, and no loss is allowed")
    return "; ".join(found)
