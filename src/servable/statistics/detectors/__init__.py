"""Detectors: watch a stream of errors, one at a time, and tell when it has changed."""
