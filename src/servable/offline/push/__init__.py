"""Push: what changed in a table, brought to whoever wants it. At least once, in order for each key, resumable.

`delivery.py` tells the story; a sink is one file with one method.
"""
