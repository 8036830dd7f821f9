"""Checks: what a version must show before it serves. `gate.py` is the one door; every check answers with a Verdict.

Nothing here decides about rows in production: that is `rules/`; nothing here watches: that is `monitoring/`.
"""
