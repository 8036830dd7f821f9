"""Failures: what the caller of a lane is told when there is no answer."""

from __future__ import annotations

import logging

from servable.engine.request import Request
from servable.errors import DeadlineExceeded, ModelFailed

logger = logging.getLogger("servable.engine")


def too_late(request: Request, now: float) -> DeadlineExceeded:
    """Of a request whose deadline has passed."""
    return DeadlineExceeded(
        f"no answer within {request.deadline - request.arrived:.3f} s: gave up after {now - request.arrived:.3f} s"
    )


def model_failed(error: Exception) -> ModelFailed:
    """What the caller may know: the kind of failure. The traceback goes to the log, never over the wire."""
    logger.error("the model raised %s", type(error).__name__, exc_info=error)
    return ModelFailed(f"the model failed with {type(error).__name__}; the server's log has the details")
