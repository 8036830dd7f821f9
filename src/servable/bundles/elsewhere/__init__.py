"""Elsewhere: a model that may run foreign code, opened in a sandboxed process of one command and asked from here.

Where it is packed, loaded into a program, checked or asked in bulk; a server has processes of its own, which a
supervisor keeps (`engine/process/`). `process.py` is our end, `main.py` the process, `messages.py` what they say.
"""
