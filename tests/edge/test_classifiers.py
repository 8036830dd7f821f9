"""Classifiers of texts on a device, trained on pages of this project: labels and probabilities are the server's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from tokenizers import AddedToken, ByteLevelBPETokenizer, processors

import servable
from servable.bundles.load import Predictor, load
from servable.edge.devices import browsing, serving
from servable.edge.export import export
from servable.edge.fit import Fit
from servable.edge.obstacles import obstacles
from servable.edge.policy import Limits
from tests.edge.test_texts import ODD
from tests.runtimes.huggingface.folders import words

pytestmark = [
    pytest.mark.faults,
    pytest.mark.timeout(1200),
    pytest.mark.filterwarnings("ignore"),  # what other people's libraries warn of is theirs
]
DOCS = Path(__file__).parents[2] / "docs"
PAGES = ("rules.md", "grpc.md", "edge.md")
SIZES: dict[str, Any] = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64,
    "hidden_dropout_prob": 0.0,
}  # fmt: skip


def lines() -> tuple[list[str], list[int]]:
    """Lines of the pages, and which page each is from."""
    found = [
        (line, at)
        for at, page in enumerate(PAGES)
        for line in (DOCS / page).read_text().splitlines()
        if line.count(" ") > 3
    ]
    texts, pages = zip(*found, strict=True)
    return list(texts), list(pages)


def pairs() -> Any:
    """Pairs of bytes as RoBERTa has them, learned from the pages."""
    made = ByteLevelBPETokenizer(add_prefix_space=True)
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    made.train([str(DOCS / page) for page in PAGES], vocab_size=900, special_tokens=special, show_progress=False)
    made._tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    made._tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True)])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made._tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>", mask_token="<mask>",
        model_max_length=126,
    )  # fmt: skip


def trained(folder: Path, kind: str, config: Any, tokenizer: Any) -> None:
    """A model that has learned which page a line is from, in a folder."""
    texts, pages = lines()
    given = tokenizer(texts, padding=True, truncation=True, max_length=48, return_tensors="pt")
    target = torch.tensor(pages)
    if config.problem_type == "multi_label_classification":
        target = torch.nn.functional.one_hot(target, len(PAGES)).float()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = getattr(transformers, kind)(config).train()
    steps = torch.optim.AdamW(model.parameters(), 3e-3)
    for _ in range(12):
        for part in torch.randperm(len(texts)).split(32):
            asked = {name: column[part] for name, column in given.items() if name != "token_type_ids"}
            steps.zero_grad()
            model(**asked, labels=target[part]).loss.backward()
            steps.step()
    model.eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Predictor]:
    """A small BERT."""
    place = tmp_path_factory.mktemp("pages")
    labels = dict(enumerate(PAGES))
    config = transformers.BertConfig(vocab_size=len(words()), max_position_embeddings=128, id2label=labels, **SIZES)
    trained(place / "model", "BertForSequenceClassification", config, words())
    servable.pack(place / "model", name="pages", sample=[*lines()[0][::9], *ODD], output=place / "bundle")
    with load(place / "bundle") as predictor:
        yield predictor


def test_labels_and_probabilities_are_the_servers(pages: Predictor, tmp_path: Path) -> None:
    assert obstacles(pages.bundle) == []
    texts, known = lines()
    told = pages.predict({"text": texts})
    assert np.mean(told["label"] == np.array(PAGES, object)[known]) > 0.9
    made = export(pages, "1", tmp_path / "web")
    assert made.proven
    for device in made.devices:
        assert device.answered > 20
        assert device.largest["probabilities"] < 1e-4
    with browsing() as (browser, _), serving(tmp_path / "web") as url:
        page = browser.new_page()
        page.goto(url)
        page.wait_for_selector("body[data-ready=true]")
        ask = "(rows) => model.predict(rows).then(({ rows }) => rows)"
        rows = page.evaluate(ask, [{"text": text} for text in texts])
        page.fill("[name=text]", texts[0])
        page.click("button")
        page.wait_for_selector("#answer table")
        assert PAGES[0] in page.inner_text("#answer")
    assert [row["label"] for row in rows] == told["label"].tolist()
    found = [[row["probabilities"][page] for page in PAGES] for row in rows]
    np.testing.assert_allclose(found, told["probabilities"], atol=1e-5)
    assert [row["tokens"] for row in rows] == told["tokens"].tolist()


def test_a_lighter_classifier_is_measured_by_its_labels(pages: Predictor, tmp_path: Path) -> None:
    fit = Fit(Limits(max_loss=0.1))
    made = export(pages, "1", tmp_path / "page", target="inline", fit=fit, outputs=["label", "tokens"])
    assert made.proven
    table = {each.variant: each for each in made.table}
    assert made.variant in {"int8-weights", "int8"}
    assert table[made.variant].bytes < 0.4 * table["original"].bytes
    assert [each.output for each in table[made.variant].losses] == ["label", "tokens"]


def test_pairs_of_bytes_and_labels_that_are_each_a_yes_or_no(tmp_path: Path) -> None:
    config = transformers.RobertaConfig(
        vocab_size=len(pairs()), max_position_embeddings=128, id2label=dict(enumerate(PAGES)), pad_token_id=1,
        bos_token_id=0, eos_token_id=2, problem_type="multi_label_classification", **SIZES,
    )  # fmt: skip
    trained(tmp_path / "model", "RobertaForSequenceClassification", config, pairs())
    servable.pack(tmp_path / "model", name="pages", sample=[*lines()[0][::9], *ODD], output=tmp_path / "bundle")
    with load(tmp_path / "bundle") as predictor:
        made = export(predictor, "1", tmp_path / "web")
    assert made.proven
    for device in made.devices:
        assert set(device.largest) == {"probabilities", "tokens"}
        assert max(device.largest.values()) < 1e-4
