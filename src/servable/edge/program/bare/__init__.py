"""Three libraries that a server has and a desktop may not, in plain Python: of each the part that is carried there
uses, under its own name. They lie at the root of the archive, so that they are what is imported, always.

That they do the same is proven by every export, which runs with them; `tests/edge/program/test_bare.py` holds each
beside the library itself.
"""
