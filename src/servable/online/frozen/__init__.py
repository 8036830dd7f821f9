"""Frozen: what a learner has learned as an ordinary model in ONNX, for doors, bulk jobs and devices. It learns no more.

`convert.py` chooses the way, a file each; `version.py` proves what came of it and makes a bundle.
"""
