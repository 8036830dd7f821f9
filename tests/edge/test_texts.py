"""Texts on a device: the client's tokenizer beside the library's, and a model of sentences in a browser."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path

import msgspec
import numpy as np
import pytest
from tokenizers import AddedToken, ByteLevelBPETokenizer, normalizers, processors
from tokenizers import Tokenizer as Library

import servable
from servable.bundles.load import Predictor, load
from servable.bundles.open import open_bundle
from servable.domain.field import Field
from servable.domain.signature import Signature
from servable.edge.devices import browsing, serving
from servable.edge.export import export
from servable.edge.fit import Fit
from servable.edge.obstacles import obstacles
from servable.edge.policy import Limits
from servable.edge.texts import Texts, texts_of
from servable.edge.tokenizer_file import read
from servable.errors import Unsupported
from tests.texts import HAPPY, LIKENESS, minilm

CLIENT = files("servable.edge") / "client"
README = Path(__file__).parents[2] / "README.md"
MOST_BYTES = 30_000_000
LEAST_COSINE = 0.98
ODD = [
    "Ça va très bien, naïve Ångström — déjà vu!", "東京は日本の首都です。", "ΟΔΟΣ Σίγμας ΣΑΣ", "İstanbul ẞtraße ﬁ ½ ǅ",
    "[MASK] is [SEP]special[CLS] and [mask] is not", "😀 emoji\u200b zero\x00 \ufffd tab\tnew\r\nline\u3000wide\u2028x",
    "a" * 100, "a" * 101, "word " * 400, "", "   ", "don't stop-me now... $5 #tag @user 100% `x` ~y~ ^z^ a_b",
    "e\u0301 vs é; \u00ad soft hyphen; \u202eright to left", "Привет, мир! שלום नमस्ते สวัสดี 안녕하세요",
    "3.14159e-10 1,000,000", "antidisestablishmentarianism pneumonoultramicroscopic", "𝔘𝔫𝔦𝔠 𠀀𪜀 ∑∫√",
]  # fmt: skip
ABOUT_SPECIAL = [
    "a <mask> b  <mask>", "<mask>", "x<mask>  </s><s>", "  <x>   y", "two  three   four    five", "|e\u0301| and |é|",
    "\x85a\ufeffb", "<x> y<x>\n z", "<s><mask> <mask>",
    "don't we'll they've I'm you're he'd It'S", " leading", "trailing  ", "a\n\n\nb \t c", "12.5% of ½ ²³ Ⅷ ٣",
]  # fmt: skip
REAL = [HAPPY, *LIKENESS]
NETWORK = Signature((Field("input_ids", "INT64", (-1, -1)),), (Field("embedding", "FP32", (-1, 384)),))


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Predictor]:
    folder = tmp_path_factory.mktemp("minilm") / "bundle"
    servable.pack(minilm(), name="minilm", sample=[*REAL, *ODD], output=folder)
    with load(folder) as loaded:
        yield loaded


def words() -> Library:
    """The tokenizer of the model of sentences."""
    return Library.from_file(str(minilm() / "tokenizer.json"))


def pairs(*, spaced: bool = False) -> Library:
    """Pairs of bytes, learned from a page of this project."""
    made = ByteLevelBPETokenizer(add_prefix_space=spaced)
    made.train([str(README)], vocab_size=700, special_tokens=["<s>", "<pad>", "</s>"], show_progress=False)
    return Library.from_str(made.to_str())


def roberta() -> Library:
    """With the tokens around a text, and the one for gaps, that RoBERTa has."""
    made = pairs(spaced=True)
    made.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    made.add_special_tokens([AddedToken("<mask>", lstrip=True)])
    return made


def modern() -> Library:
    """With a normal form, and runs of spaces that are tokens in it."""
    made = pairs()
    made.normalizer = normalizers.NFC()
    made.add_tokens(
        [AddedToken("  ", normalized=True), AddedToken("   ", normalized=True), "|é|", AddedToken("<x>", rstrip=True)]
    )
    made.post_processor = processors.TemplateProcessing("<s> $A </s>", "<s> $A </s> $B", [("<s>", 0), ("</s>", 2)])
    return made


def changed(**parts: object) -> bytes:
    """The file of the model of sentences, with parts of it changed."""
    return msgspec.json.encode({**msgspec.json.decode((minilm() / "tokenizer.json").read_bytes()), **parts})


@pytest.mark.parametrize("library", [words, pairs, roberta, modern])
def test_tokens_are_those_of_the_library(library: Callable[[], Library]) -> None:
    there = library()
    there.no_padding()
    there.enable_truncation(256)
    texts = Texts(read(there.to_str().encode()), 256, NETWORK)
    asked = [*REAL, *ODD, *ABOUT_SPECIAL, *(line for line in README.read_text().splitlines() if line)]
    script = f"""
      import {{ readFileSync }} from "node:fs";
      const [settings, vocabulary, asked] = JSON.parse(readFileSync(0, "utf8"));
      const {{ Tokenizer }} = await import(`{CLIENT}/${{settings.kind}}.js`);
      const tokenizer = new Tokenizer(settings, vocabulary);
      console.log(JSON.stringify(asked.map((text) => tokenizer.encode(text))));
    """
    done = subprocess.run(
        ["node", "--input-type=module", "--eval", script],
        input=json.dumps([texts.contract(), texts.tokenizer.file().decode(), asked]),
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for text, found in zip(asked, json.loads(done.stdout), strict=True):
        assert found == there.encode(text).ids, text


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        (
            {"model": {"type": "Unigram"}},
            "its tokenizer is Unigram, BertNormalizer, BertPreTokenizer, and devices know",
        ),
        ({"post_processor": {"type": "Sequence"}}, "ends with Sequence"),
        ({"added_tokens": [{"content": "<x>", "single_word": True}]}, "treats '<x>' in a way"),
        (
            {
                "model": {"type": "BPE", "vocab": {"a": 0}, "merges": []},
                "normalizer": None,
                "pre_tokenizer": {"type": "ByteLevel"},
            },
            "has a vocabulary without all bytes, which devices do not know",
        ),
    ],
)
def test_a_tokenizer_of_another_kind_is_an_obstacle(parts: dict[str, object], told: str) -> None:
    with pytest.raises(Unsupported, match=told):
        read(changed(**parts))


@pytest.mark.faults
@pytest.mark.timeout(1200)
def test_sentences_in_the_browser(predictor: Predictor, tmp_path: Path) -> None:
    """22 million parameters in less than 30 MB, the vectors as close as promised, the device equal to the server."""
    assert obstacles(predictor.bundle) == []
    fit = Fit(Limits(max_bytes=MOST_BYTES, max_loss=1 - LEAST_COSINE))
    made = export(predictor, "1", tmp_path / "web", fit=fit)
    assert made.proven
    chosen = next(each for each in made.table if each.variant == made.variant)
    assert (chosen.variant, chosen.bytes <= MOST_BYTES) == ("int8-weights", True)
    assert (tmp_path / "web" / "model.onnx").stat().st_size == chosen.bytes
    expected = predictor.predict({"text": REAL})["embedding"]
    with browsing() as (browser, _), serving(tmp_path / "web") as url:
        page = browser.new_page()
        page.goto(url)
        page.wait_for_selector("body[data-ready=true]", timeout=120_000)
        rows = page.evaluate(
            "(rows) => model.predict(rows).then(({ rows }) => rows)", [{"text": text} for text in REAL]
        )
        page.fill("[name=text]", HAPPY)
        page.click("button")
        page.wait_for_selector("#answer table", timeout=60_000)
        assert "tokens" in page.inner_text("#answer")
    found = np.array([row["embedding"] for row in rows])
    assert (found * expected).sum(axis=1).min() >= LEAST_COSINE
    for sentence, likeness in zip(found[1:], LIKENESS.values(), strict=True):
        assert float(found[0] @ sentence) == pytest.approx(likeness, abs=0.02)


def test_how_texts_are_read_stands_in_the_bundle() -> None:
    texts = texts_of(open_bundle(minilm()))
    assert (texts.longest, len(texts.tokenizer.vocabulary)) == (256, 30522)
    assert (texts.tokenizer.start, texts.tokenizer.end) == ((101,), (102,))
    assert [(field.name, field.shape) for field in texts.signature.outputs] == [("embedding", (-1, 384))]
