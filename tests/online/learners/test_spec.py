"""The description of a built-in learner: what is wrong in one is told by name."""

from __future__ import annotations

from pathlib import Path

import pytest

import servable
from servable.errors import CorruptModel, UsageError
from servable.online.learners import spec

WRONG = {
    '{"learner": "ftlr", "inputs": {"x": "FP64"}, "classes": [0, 1]}': (
        CorruptModel,
        r"'own.json': there is no learner 'ftlr' \(did you mean 'ftrl'\?\): expected ftrl, linear, epsilon-greedy",
    ),
    '{"learner": "ftrl", "input": {"x": "FP64"}, "classes": [0, 1]}': (
        CorruptModel,
        "of learner, inputs, classes, actions, target, options: Object contains unknown field `input`",
    ),
    '{"learner": "ftrl", "inputs": {"x": "FP64"}, "classes": [0, 1], "options": {"alfa": 1}}': (
        UsageError,
        r"there is no 'alfa' \(did you mean 'alpha'\?\): expected some of alpha, beta, l1, l2, hash_bits",
    ),
    '{"learner": "linear", "inputs": {"x": "FP64"}, "options": {"speed": 1}}': (
        UsageError,
        "there is no 'speed': expected some of rate, hash_bits",
    ),
    '{"learner": "thompson", "inputs": {"x": "FP64"}, "actions": ["a", "b"], "options": {"epsilonn": 0}}': (
        UsageError,
        r"did you mean 'epsilon'\?\): expected some of epsilon, alpha, ridge, seed, hash_bits",
    ),
    '{"learner": "ftrl", "inputs": {"x": "FP65"}, "classes": [0, 1]}': (UsageError, "'FP65' is not one of"),
}


@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong_in_a_description_is_told(tmp_path: Path, text: str) -> None:
    path = tmp_path / "own.json"
    path.write_text(text)
    kind, told = WRONG[text]
    with pytest.raises(kind, match=told):
        servable.pack(path, output=tmp_path / "packed")


@pytest.mark.parametrize("text", [b'{"learner": {"gradient_booster": {}}}', b'{"inputs": {}}', b"[1]", b"{", b"\xff"])
def test_what_is_no_description_is_left_to_others(text: bytes) -> None:
    assert not spec.describes(text)
