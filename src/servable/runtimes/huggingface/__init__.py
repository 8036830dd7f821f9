"""Hugging Face model folders, by transformers: `runtime.py` is the plugin, each other file a family of tasks."""

from servable.runtimes.huggingface.runtime import HuggingFaceRuntime

__all__ = ["HuggingFaceRuntime"]
