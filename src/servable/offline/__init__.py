"""Offline: predict in bulk, keep the answers in tables, hand them out by key and by push.

`job.py` tells the story of a bulk job; `lookup.py` that of a look-up. Nothing of this is needed to serve a model.
"""
