"""Model processes: a model that runs foreign code lives in a process of its own, behind a socket. Both ends are here.

`client.py` is the door's end, `main.py` the process; `wire/frames.py` and `arena.py` carry tensors between them,
`messages.py` what the supervisor and the process say to each other. Importing `main` and `messages` costs no model
library.
"""
