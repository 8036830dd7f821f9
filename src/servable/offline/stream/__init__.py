"""Streams: a model as a step in somebody's stream. Messages come, are answered in micro-batches, and go on.

`flow.py` tells the story; a pipe is one file for each kind of broker.
"""
