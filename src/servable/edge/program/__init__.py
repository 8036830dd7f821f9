"""What runs on a desktop: a program of one model, with Servable's own code around it and nothing installed but Python
and onnxruntime. It is carried there by `desktop.py`; nothing here imports what is not carried.
"""
