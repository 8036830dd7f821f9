"""Names, versions, aliases and verdicts, and where their bundles lie: append-only events, from which wanted state is
read.

`registry.py` is the door. The command line calls it, and `app.py` for the supervisor;
a server's doors never come here.
"""
