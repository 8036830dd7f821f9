"""Hugging Face folders behind a door, in a sandbox: a language model by OpenAI's own client, gaps filled by rows."""

import openai
import pytest
import transformers

import servable
from tests.e2e.serving import Serving
from tests.runtimes.huggingface.folders import bert, pieces, saved, words

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]
PROMPT = "Once upon a time"


def test_a_folder_is_asked_as_any_other_model(tmp_path):
    config = transformers.GPT2Config(
        vocab_size=len(pieces()), n_positions=64, n_embd=32, n_layer=2, n_head=2, initializer_range=0.4,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    own = saved(tmp_path / "small", "GPT2LMHeadModel", config, pieces())
    saved(tmp_path / "gaps", "BertForMaskedLM", bert(), words(), card="fill-mask")
    servable.pack(tmp_path / "gaps", name="gaps", output=tmp_path / "packed" / "gaps")
    pipeline = transformers.pipeline("text-generation", model=own, tokenizer=pieces())
    (expected,) = pipeline(PROMPT, do_sample=False, max_new_tokens=12, return_full_text=False)
    with Serving(tmp_path, tmp_path / "small", tmp_path / "packed" / "gaps", sandbox="required") as serving:
        serving.ready()
        url = f"http://{serving.host}:{serving.port}/v1"
        with openai.OpenAI(base_url=url, api_key="none", max_retries=0) as client:
            whole = client.completions.create(model="small", prompt=PROMPT, max_tokens=12, temperature=0)
            assert whole.choices[0].text == expected["generated_text"]
            assert whole.usage.prompt_tokens == len(pieces()(PROMPT)["input_ids"])
            stream = client.chat.completions.create(
                model="small", messages=[{"role": "user", "content": "hello"}], max_tokens=6, temperature=0, stream=True
            )
            chunks = list(stream)
            assert chunks[-1].choices[0].finish_reason in {"stop", "length"}
            assert any(chunk.choices[0].delta.content for chunk in chunks)
        status, told = serving.ask("POST", "/v2/models/gaps/infer", {"rows": [{"text": "The [MASK] is here."}]})
        assert status == 200
        assert "[MASK]" not in told["rows"][0]["filled"]
