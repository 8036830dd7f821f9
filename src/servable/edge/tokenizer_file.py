"""Reads `tokenizer.json`, as the `tokenizers` library writes it, for the tokenizers that devices know: WordPiece as
BERT has it (`client/wordpiece.js`), and pairs of bytes as GPT-2 and RoBERTa have them (`client/bytepairs.js`).

What it cannot tell devices exactly is refused, with its name.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from servable.errors import Unsupported

WORDPIECE: Final = "wordpiece"
BYTEPAIRS: Final = "bytepairs"
_BERT: Final = ["WordPiece", "BertNormalizer", "BertPreTokenizer"]
_FORMS: Final = ("NFC", "NFD", "NFKC", "NFKD")
"""What texts are brought to first, by the names that JavaScript has for it too."""
_PLAIN: Final = range(ord("!"), ord("~") + 1), range(ord("¡"), ord("¬") + 1), range(ord("®"), ord("ÿ") + 1)
_FIRST: Final = 256


class Special(msgspec.Struct, frozen=True):
    """A token that stands for itself in a text. `left`, `right`: it takes the white space there with it. `normal`: it
    is looked for after the text was brought to its normal form.
    """

    token: str
    id: int
    left: bool = False
    right: bool = False
    normal: bool = False


class Tokenizer(msgspec.Struct, frozen=True):
    """What devices are told. `start` and `end` stand around each text; `how` is what its own `kind` needs to know;
    `source` is the file itself.
    """

    source: bytes
    kind: str
    vocabulary: tuple[str, ...]
    merges: tuple[str, ...]
    special: tuple[Special, ...]
    start: tuple[int, ...]
    end: tuple[int, ...]
    how: dict[str, Any]

    def settings(self) -> dict[str, Any]:
        """What stands in the contract, beside the vocabulary."""
        around = {"start": self.start, "end": self.end}
        return {"kind": self.kind, "special": msgspec.to_builtins(self.special), **around, **self.how}

    def file(self) -> bytes:
        """The vocabulary, a token a line in the order of their numbers; then, behind an empty line, what is merged."""
        return "\n".join([*self.vocabulary, *(["", *self.merges] if self.merges else [])]).encode()


def read(source: bytes) -> Tokenizer:
    """The tokenizer of a file. Raises Unsupported that says what devices do not know of it."""
    told = msgspec.json.decode(source)
    model, normal, before = (told.get(part) or {} for part in ("model", "normalizer", "pre_tokenizer"))
    kinds = [str(each.get("type")) for each in (model, normal, before)]
    merges: tuple[str, ...] = ()
    if kinds == _BERT:
        kind, how = WORDPIECE, _wordpiece(model, normal)
    elif kinds[0] == "BPE" and kinds[1] in {"None", *_FORMS} and kinds[2] == "ByteLevel":
        kind, how = BYTEPAIRS, _bytepairs(model, normal, before)
        merges = tuple(pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"])
    else:
        raise Unsupported(
            f"its tokenizer is {', '.join(kinds)}, and devices know WordPiece as BERT has it, and pairs of bytes as "
            "GPT-2 and RoBERTa have them"
        )
    start, end = _around(told.get("post_processor") or {})
    return Tokenizer(source, kind, _vocabulary(model), merges, _special(told), start, end, how)


def _wordpiece(model: dict[str, Any], normal: dict[str, Any]) -> dict[str, Any]:
    lowercase = normal["lowercase"]
    return {
        "unknown": model["vocab"][model["unk_token"]],
        "continues": model["continuing_subword_prefix"],
        "most_letters": model["max_input_chars_per_word"],
        "clean": normal["clean_text"],
        "ideographs": normal["handle_chinese_chars"],
        "accents": lowercase if normal["strip_accents"] is None else normal["strip_accents"],
        "lowercase": lowercase,
    }


def _bytepairs(model: dict[str, Any], normal: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    odd = [name for name in ("continuing_subword_prefix", "end_of_word_suffix", "dropout") if model.get(name)]
    if not before.get("use_regex", True):
        odd.append("no pattern of GPT-2")
    if model.get("byte_fallback") or not set(_letters()) <= model["vocab"].keys():
        odd.append("a vocabulary without all bytes")
    if odd:
        raise Unsupported(f"its tokenizer has {', '.join(odd)}, which devices do not know")
    return {
        "form": normal.get("type"),
        "space": before["add_prefix_space"],
        "whole": bool(model.get("ignore_merges")),
        "letters": "".join(_letters()),
    }


def _letters() -> list[str]:
    """The letter that stands for each byte (GPT-2): itself where it can be seen, else one from U+0100 on."""
    seen = [code for plain in _PLAIN for code in plain]
    hidden = [code for code in range(_FIRST) if code not in seen]
    return [chr(code if code in seen else _FIRST + hidden.index(code)) for code in range(_FIRST)]


def _vocabulary(model: dict[str, Any]) -> tuple[str, ...]:
    numbers = {str(token): int(number) for token, number in model["vocab"].items()}
    tokens = sorted(numbers, key=lambda token: numbers[token])
    gaps = [numbers[token] for token in tokens] != list(range(len(tokens)))
    if gaps or any(not token or "\n" in token for token in tokens):
        raise Unsupported("its vocabulary is not numbered from 0 without gaps")
    return tuple(tokens)


def _special(told: dict[str, Any]) -> tuple[Special, ...]:
    added = told.get("added_tokens") or []
    if odd := [each["content"] for each in added if each["single_word"]]:
        raise Unsupported(f"its tokenizer treats {odd[0]!r} in a way that devices do not know: as a word of its own")
    return tuple(
        Special(each["content"], each["id"], each["lstrip"], each["rstrip"], each["normalized"]) for each in added
    )


def _around(after: dict[str, Any]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The tokens before and after those of a text."""
    kind = after.get("type")
    if kind in {"BertProcessing", "RobertaProcessing"}:
        return (int(after["cls"][1]),), (int(after["sep"][1]),)
    if kind in {None, "ByteLevel"}:
        return (), ()
    if kind != "TemplateProcessing":
        raise Unsupported(f"its tokenizer ends with {kind}, which devices do not know")
    parts: tuple[list[int], list[int]] = ([], [])
    side = 0
    for piece in after["single"]:
        if "Sequence" in piece:
            side = 1
        else:
            parts[side].extend(after["special_tokens"][piece["SpecialToken"]["id"]]["ids"])
    return tuple(parts[0]), tuple(parts[1])
