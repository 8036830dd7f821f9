"""Probe: where a model errs, jumps, saturates or turns to NaN, found before anybody else does.

Rows are made from what the bundle knows of its training data, asked, and what is odd is shrunk to the simplest row that
shows it, ranked, and offered the rule that would guard it. `probe.py` is the door.
"""
