"""Texts on a device: the client's tokenizer beside the library's, and a model of sentences in a browser."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import msgspec
import numpy as np
import pytest
from tokenizers import Tokenizer as Library

import servable
from servable.bundles.load import Predictor, load
from servable.bundles.open import open_bundle
from servable.edge import texts
from servable.edge.devices import browsing, serving
from servable.edge.export import export
from servable.edge.fit import Fit
from servable.edge.obstacles import obstacles
from servable.edge.policy import Limits
from servable.edge.texts import Tokenizer, tokenizer_of
from servable.errors import Unsupported
from tests.texts import HAPPY, LIKENESS, minilm

CLIENT = files("servable.edge") / "client" / "wordpiece.js"
MOST_BYTES = 30_000_000
LEAST_COSINE = 0.98
ODD = [
    "Ça va très bien, naïve Ångström — déjà vu!", "東京は日本の首都です。", "ΟΔΟΣ Σίγμας ΣΑΣ", "İstanbul ẞtraße ﬁ ½ ǅ",
    "[MASK] is [SEP]special[CLS] and [mask] is not", "😀 emoji\u200b zero\x00 \ufffd tab\tnew\r\nline\u3000wide\u2028x",
    "a" * 100, "a" * 101, "word " * 400, "", "   ", "don't stop-me now... $5 #tag @user 100% `x` ~y~ ^z^ a_b",
    "e\u0301 vs é; \u00ad soft hyphen; \u202eright to left", "Привет, мир! שלום नमस्ते สวัสดี 안녕하세요",
    "3.14159e-10 1,000,000", "antidisestablishmentarianism pneumonoultramicroscopic", "𝔘𝔫𝔦𝔠 𠀀𪜀 ∑∫√",
]  # fmt: skip
REAL = [HAPPY, *LIKENESS]


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Predictor]:
    folder = tmp_path_factory.mktemp("minilm") / "bundle"
    servable.pack(minilm(), name="minilm", sample=[*REAL, *ODD], output=folder)
    with load(folder) as loaded:
        yield loaded


def read(**changed: object) -> Tokenizer:
    """The tokenizer of the model of sentences, with parts of its file changed."""
    told = msgspec.json.decode((minilm() / "tokenizer.json").read_bytes())
    return texts._read(msgspec.json.encode({**told, **changed}), texts.judge(minilm(), texts.ALL))


def test_tokens_are_those_of_the_library(tmp_path: Path) -> None:
    tokenizer = read()
    asked = [
        *REAL,
        *ODD,
        *(line for line in (Path(__file__).parents[2] / "README.md").read_text().splitlines() if line),
    ]
    (tmp_path / "given.json").write_text(json.dumps([tokenizer.settings(), tokenizer.file().decode(), asked]))
    script = f"""
      import {{ WordPiece }} from {json.dumps(str(CLIENT))};
      import {{ readFileSync }} from "node:fs";
      const [settings, vocabulary, asked] = JSON.parse(readFileSync(0, "utf8"));
      const tokenizer = new WordPiece(settings, vocabulary);
      console.log(JSON.stringify(asked.map((text) => tokenizer.encode(text))));
    """
    done = subprocess.run(
        ["node", "--input-type=module", "--eval", script], input=(tmp_path / "given.json").read_text(),
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    library = Library.from_file(str(minilm() / "tokenizer.json"))
    library.no_padding()
    library.enable_truncation(256)
    for text, found in zip(asked, json.loads(done.stdout), strict=True):
        assert found == library.encode(text).ids, text


def test_a_tokenizer_of_another_kind_is_an_obstacle() -> None:
    with pytest.raises(Unsupported, match="its tokenizer is BPE, BertNormalizer, BertPreTokenizer, and devices know"):
        read(model={"type": "BPE"})
    with pytest.raises(Unsupported, match="ends with RobertaProcessing"):
        read(post_processor={"type": "RobertaProcessing"})
    token = {"id": 0, "content": "<x>", "lstrip": True, "rstrip": False, "normalized": False}
    with pytest.raises(Unsupported, match="treats '<x>' in a way"):
        read(added_tokens=[token])


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


def test_the_tokenizer_is_read_from_the_bundle() -> None:
    tokenizer = tokenizer_of(open_bundle(minilm()))
    assert (tokenizer.longest, tokenizer.width, len(tokenizer.vocabulary)) == (256, 384, 30522)
    assert (tokenizer.start, tokenizer.end) == ((101,), (102,))
