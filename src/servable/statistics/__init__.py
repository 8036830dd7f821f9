"""Statistics: numbers in, numbers out. One file a statistic, each with its source. No I/O, no model, no randomness that
is not seeded.
"""
