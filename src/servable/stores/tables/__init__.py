"""Tables: answers made beforehand, by key. One port, one adapter a database, one contract suite for all.

Whoever serves or fills a table calls `open.py`; a store knows keys and answers as bytes and nothing of models.
"""
