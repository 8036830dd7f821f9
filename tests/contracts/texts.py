"""The golden model of texts: two tokens for each of a few prompts, as llama.cpp says them without us."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import xllamacpp

from servable.bundles.open import open_bundle
from servable.domain.batch import Batch
from servable.domain.bundle import Bundle
from tests.texts import FRANCE, smollm

PROMPTS = (FRANCE, "One, two,", "Water boils at", "Hello, my name is")


def smollm_of_two_tokens() -> tuple[Bundle, Batch]:
    """A bundle that makes two tokens a row, and rows for it."""
    bare = open_bundle(smollm())
    options = {"max_tokens": 2, "threads": 1, "context": 128, "slots": 2}
    bundle = msgspec.structs.replace(bare, manifest=msgspec.structs.replace(bare.manifest, options=options))
    return bundle, Batch({"prompt": np.array(PROMPTS, object)})


def said_by_llama(folder: Path) -> dict[str, np.ndarray]:
    """The same, asked of the engine itself."""
    params = xllamacpp.CommonParams()
    params.model.path = str(smollm())
    params.n_ctx = 256
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.verbosity = -1
    params.hostnames = [str(folder / "e.sock")]
    server = xllamacpp.Server(params)
    answers: list[Any] = []
    for prompt in PROMPTS:
        server.handle_completions({"prompt": prompt, "max_tokens": 2, "temperature": 0}, answers.append)
    return {
        "text": np.array([answer["choices"][0]["text"] for answer in answers], object),
        "tokens": np.array([answer["usage"]["completion_tokens"] for answer in answers]),
        "prompt_tokens": np.array([answer["usage"]["prompt_tokens"] for answer in answers]),
    }
