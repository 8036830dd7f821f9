"""The hot path: router, host, lane, admission, policy. Synchronous where it computes, one event loop where it waits."""
