"""What the tests of this folder share."""

import pytest
from threadpoolctl import threadpool_limits


@pytest.fixture(autouse=True)
def one_thread():
    """Small models fit faster on one thread than several wake up."""
    with threadpool_limits(1):
        yield
