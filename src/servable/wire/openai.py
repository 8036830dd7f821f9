"""OpenAI's bodies: completions and chats read into a Prompt, answers and chunks written from Pieces. Pure.

Source: openai/openai-openapi, openapi.yaml. What is not offered is refused by name, unless it says what would happen
anyway; nothing that changes an answer is passed over in silence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal, NamedTuple, TypeVar

import msgspec

from servable.domain.generation import Message, Piece, Prompt
from servable.errors import InvalidInput, ServableError
from servable.wire.json_object import json_object

TOKENS: Final = 16
"""Of a completion that asks for no number; a chat ends when the model ends it."""
MOST_STOPS: Final = 4
MOST_TEXTS: Final = 128
"""That one request may ask for: its prompts, times `n`."""
COMPLETION: Final = {"model": "NAME", "prompt": "Once upon a time", "max_tokens": TOKENS}
CHAT: Final = {"model": "NAME", "messages": [{"role": "user", "content": "Hello"}]}
"""Bodies that work, with the name of a model."""

Penalty = Annotated[float, msgspec.Meta(ge=-2, le=2)]
Stop = Annotated[str, msgspec.Meta(min_length=1)]
Count = Annotated[int, msgspec.Meta(ge=1)]


class StreamOptions(msgspec.Struct, frozen=True):
    include_usage: bool = False


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What both kinds of request may hold."""

    model: str
    n: Count | None = None
    max_tokens: Count | None = None
    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, msgspec.Meta(gt=0, le=1)] | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    seed: int | None = None
    stop: Stop | Annotated[list[Stop], msgspec.Meta(max_length=MOST_STOPS)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None


class Completion(Asked, frozen=True, kw_only=True):
    """`POST /v1/completions`."""

    prompt: str | Annotated[list[str], msgspec.Meta(min_length=1)]


class Part(msgspec.Struct, frozen=True):
    """Of a message that comes in parts. Only text is read."""

    type: Literal["text"]
    text: str


class Turn(msgspec.Struct, frozen=True):
    """One message. `developer` is what newer clients call the system."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[Part]


class Chat(Asked, frozen=True, kw_only=True):
    """`POST /v1/chat/completions`."""

    messages: Annotated[list[Turn], msgspec.Meta(min_length=1)]
    max_completion_tokens: Count | None = None


UNUSED: Final = frozenset({"user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key"})
"""Words between a caller and who bills them: they change no answer."""
WITHOUT_EFFECT: Final[dict[str, tuple[Any, ...]]] = {
    "best_of": (1,), "echo": (False,), "logprobs": (False,), "top_logprobs": (), "logit_bias": ({},),
    "suffix": ("",), "tools": ([],), "tool_choice": ("none", "auto"), "parallel_tool_calls": (True, False),
    "response_format": ({"type": "text"},), "modalities": (["text"],), "dimensions": (),
}  # fmt: skip
"""What is not offered, and the values that ask for nothing."""

Kind = TypeVar("Kind", bound=msgspec.Struct)


class Request(NamedTuple):
    """A request for a text, understood."""

    model: str
    prompts: tuple[Prompt, ...]
    """Of each text in turn; those of the same prompt stand side by side."""
    each: int
    """How many texts are made of a prompt."""
    chat: bool
    stream: bool
    usage: bool
    """Of a stream: whether a last chunk is to tell the tokens."""


def completion(body: bytes, most_tokens: int) -> Request:
    """Read the body of `/v1/completions`. Raises InvalidInput with every fault."""
    asked = decode(body, Completion, COMPLETION)
    texts = [asked.prompt] if isinstance(asked.prompt, str) else asked.prompt
    what = [{"text": text} for text in texts]
    return _request(asked, asked.max_tokens or min(TOKENS, most_tokens), most_tokens, what)


def chat(body: bytes, most_tokens: int) -> Request:
    """Read the body of `/v1/chat/completions`. Raises InvalidInput with every fault."""
    asked = decode(body, Chat, CHAT)
    messages = tuple(_message(turn) for turn in asked.messages)
    tokens = asked.max_completion_tokens or asked.max_tokens or most_tokens
    return _request(asked, tokens, most_tokens, [{"messages": messages}])


def decode(body: bytes, kind: type[Kind], example: Mapping[str, Any]) -> Kind:
    """A body as a struct of this kind. Raises InvalidInput that lists every fault and shows the example."""
    document = json_object(body, example)
    known = {field.name: field for field in msgspec.structs.fields(kind)}
    faults = []
    for name, value in document.items():
        if name in known:
            try:
                msgspec.convert(value, known[name].type)
            except msgspec.ValidationError as error:
                what, _, where = str(error).partition(" - at `$")
                faults.append(f"{name}{where.rstrip('`')}: {what[:1].lower()}{what[1:]}")
        elif name not in UNUSED and value is not None and value not in WITHOUT_EFFECT.get(name, ()):
            faults.append(f"{name}: not offered here: leave it out")
    lacking = [name for name, field in known.items() if field.required and name not in document]
    faults += [f"{name}: expected, got nothing" for name in lacking]
    if faults:
        raise InvalidInput("; ".join(faults), faults=faults, example=example)
    return msgspec.convert(document, kind)


def _request(asked: Asked, tokens: int, most_tokens: int, what: Sequence[dict[str, Any]]) -> Request:
    each = asked.n or 1
    if tokens > most_tokens:
        raise InvalidInput(f"max_tokens: expected at most {most_tokens}, got {tokens}")
    if each * len(what) > MOST_TEXTS:
        raise InvalidInput(f"n: expected at most {MOST_TEXTS} texts, got {len(what)} prompts times {each}")
    stop = (asked.stop,) if isinstance(asked.stop, str) else tuple(asked.stop or ())
    prompts = tuple(
        Prompt(
            max_tokens=tokens,
            temperature=1.0 if asked.temperature is None else asked.temperature,
            top_p=1.0 if asked.top_p is None else asked.top_p,
            frequency_penalty=asked.frequency_penalty or 0.0,
            presence_penalty=asked.presence_penalty or 0.0,
            seed=None if asked.seed is None else asked.seed + place,  # or all texts of a prompt would be the same
            stop=stop,
            **one,
        )
        for one in what
        for place in range(each)
    )
    wants_usage = asked.stream_options is not None and asked.stream_options.include_usage
    return Request(asked.model, prompts, each, "messages" in what[0], bool(asked.stream), wants_usage)


def _message(turn: Turn) -> Message:
    content = turn.content if isinstance(turn.content, str) else "".join(part.text for part in turn.content)
    return Message("system" if turn.role == "developer" else turn.role, content)


class Answer:
    """Writes the answer to one request. `named` stands in every document: id, time, model."""

    def __init__(self, request: Request, request_id: str, created: int, named: Mapping[str, Any]) -> None:
        self._chat = request.chat
        self._each = request.each
        self._texts = len(request.prompts)
        self._usage = request.usage
        self._named = {"id": f"{'chatcmpl' if request.chat else 'cmpl'}-{request_id}", "created": created, **named}

    def whole(self, texts: Sequence[tuple[str, Piece]]) -> dict[str, Any]:
        """All of it at once: each text, and its last piece."""
        kind = "chat.completion" if self._chat else "text_completion"
        choices = [
            _choice({"message": {"role": "assistant", "content": text}} if self._chat else {"text": text}, last, place)
            for place, (text, last) in enumerate(texts)
        ]
        usage = usage_of([last for _, last in texts], self._each)
        return {**self._named, "object": kind, "choices": choices, "usage": usage}

    def opening(self) -> list[dict[str, Any]]:
        """Chunks before the first piece: a chat tells who speaks."""
        said = {"delta": {"role": "assistant", "content": ""}}
        return [self._chunk(said, Piece(""), place) for place in range(self._texts)] if self._chat else []

    def chunk(self, piece: Piece, place: int = 0) -> dict[str, Any]:
        """One piece, of the text with this place."""
        if not self._chat:
            return self._chunk({"text": piece.text}, piece, place)
        return self._chunk({"delta": {"content": piece.text} if piece.text else {}}, piece, place)

    def closing(self, lasts: Sequence[Piece]) -> list[dict[str, Any]]:
        """Chunks after the last piece: the tokens, for those who asked. `lasts`: the last piece of each text."""
        usage = usage_of(lasts, self._each)
        return [{**self._chunk({}, Piece("")), "choices": [], "usage": usage}] if self._usage else []

    def _chunk(self, said: Mapping[str, Any], piece: Piece, place: int = 0) -> dict[str, Any]:
        told = {
            **self._named,
            "object": "chat.completion.chunk" if self._chat else "text_completion",
            "choices": [_choice(said, piece, place)],
        }
        return {**told, "usage": None} if self._usage else told


def _choice(said: Mapping[str, Any], piece: Piece, place: int) -> dict[str, Any]:
    return {"index": place, **said, "logprobs": None, "finish_reason": piece.finish or None}


def usage_of(lasts: Sequence[Piece], each: int = 1) -> dict[str, int]:
    """The tokens read and made. A prompt counts once, of however many texts it is the beginning."""
    read = sum(last.prompt_tokens for last in lasts[::each])
    made = sum(last.tokens for last in lasts)
    return {"prompt_tokens": read, "completion_tokens": made, "total_tokens": read + made}


def error_of(error: ServableError) -> dict[str, Any]:
    """An error in this protocol's shape: our sentence, details and code inside."""
    kinds = {401: "authentication_error", 403: "permission_error", 404: "not_found_error"}
    kind = kinds.get(error.status, "server_error" if error.status >= 500 else "invalid_request_error")
    return {"error": {"message": error.message, "type": kind, "param": None, "code": error.code, **error.detail}}
