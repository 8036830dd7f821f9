"""The sandbox: what a process that runs foreign code may not do. `walls.py` sets it up; the rest are its layers.

Whoever starts such a process uses it: a server's model processes, and the process in which a file is opened while it is
packed, loaded, checked or asked in bulk. It imports no model library.
"""
