"""Terms: on which a canary is promoted, or rolled back, without anybody looking. `release/policy.py` applies them."""

from __future__ import annotations

import msgspec

from servable.domain.success import parse_success


class Terms(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What must be proven, and what is too much. Margins are differences of shares: 0.01 is one request in a hundred.

    Rolled back: when it is evident that the canary fails, or is slow, more often than the live version by more than
    the margin, or succeeds less often. Promoted: once it is evident that it does not, after at least `least_requests`
    of its own and `least_s`; and, where outcomes tell successes, that it succeeds no less often than by
    `success_margin`.
    """

    promote: bool = True
    """Promote by itself; otherwise it is only told that it could be."""
    least_requests: int = 1000
    least_s: float = 3600.0
    """Better a day or a week: as long as what makes requests differ takes to come round."""
    error_margin: float = 0.01
    slow_margin: float = 0.02
    """Slow is what at most one in a hundred requests to the live version is."""
    success: str = ""
    """What outcomes tell: `correct`, `within=NUMBER` or `outcome` (`domain/success.py`); empty: none are waited for."""
    success_margin: float = 0.01
    effect: float = 0.02
    """The size of a difference of successes that is worth finding: the test is sharpest there."""

    def __post_init__(self) -> None:
        for name in ("error_margin", "slow_margin", "success_margin", "effect"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name}: expected a share between 0 and 1, got {getattr(self, name):g}")
        if self.success:
            parse_success(self.success)
        if self.least_requests < 0 or self.least_s < 0:
            raise ValueError(
                f"least_requests and least_s: expected 0 or more, got {self.least_requests} and {self.least_s:g}"
            )
