"""What servers answer, read with care: messages, vectors, and what they took."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from easyrec.llm.client.ledger import Usage
from easyrec.llm.client.messages import Token

BYTES_PER_TOKEN = 3
"""Of UTF-8, at least, in English as in Chinese: what is reserved of a budget is rather too much."""
TOKENS_PER_MESSAGE, TOKENS_PER_IMAGE = 8, 1500
LEAST = -9999.0
"""The logarithm of a probability that is none, as servers write it."""


def usage_of(counted: Any, sent: int, text: str, failed: int) -> Usage:
    """What an answer took: by the server's count, else about so much."""
    told = counted if isinstance(counted, Mapping) else {}
    input, output, total = (_count(told.get(f"{name}_tokens")) for name in ("prompt", "completion", "total"))
    if input is None and total is not None:  # many rerankers tell the sum alone
        input = max(total - (output or 0), 0)
    if input is not None:
        had = told.get("prompt_tokens_details")
        cached = _count(had.get("cached_tokens")) if isinstance(had, Mapping) else None
        return Usage(calls=1, input=input, output=output or 0, cached=min(cached or 0, input), tries=failed)
    received = tokens_in(text)
    return Usage(calls=1, input=sent, output=received, estimated=sent + received, tries=failed)


def _count(value: Any) -> int | None:
    """A number of tokens, if it is one."""
    return int(value) if isinstance(value, int | float) and math.isfinite(value) and value >= 0 else None


def list_of(value: Any) -> list[Any]:
    """A list of objects, whatever was sent."""
    return [entry for entry in value if isinstance(entry, Mapping)] if isinstance(value, list) else []


def words_of(message: Mapping[str, Any]) -> str:
    """The words of a message, which some servers send in parts."""
    content = message.get("content")
    if isinstance(content, list):
        content = "".join(str(part.get("text") or "") for part in list_of(content))
    return content if isinstance(content, str) else ""


def vector_of(value: Any) -> np.ndarray:
    """(d,) float32, as numbers or as bytes in base64."""
    if isinstance(value, str):
        return np.frombuffer(base64.b64decode(value, validate=True), "<f4").astype(np.float32)
    vector = np.asarray(value, np.float32)
    if vector.ndim != 1:
        raise ValueError("no vector")
    return vector


def tokens_in(text: str) -> int:
    """About how many tokens a text has; rather too many."""
    return len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN + 1


def tokens_of(body: Mapping[str, Any]) -> int:
    """About how many tokens a request has."""
    total = 0
    for message in body["messages"]:
        content = message["content"]
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        total += TOKENS_PER_MESSAGE
        total += sum(tokens_in(p["text"]) if p["type"] == "text" else TOKENS_PER_IMAGE for p in parts)
    return total


def tokens_told(choice: Mapping[str, Any]) -> list[Token]:
    """The tokens of an answer with their probabilities; none where the server does not tell them, or not as others do."""
    told = choice.get("logprobs")
    if not isinstance(told, Mapping):
        return []
    found = []
    for one in list_of(told.get("content")):
        others = {str(other.get("token")): _logprob(other) for other in list_of(one.get("top_logprobs"))}
        found.append(Token(str(one.get("token") or ""), _logprob(one), others))
    return found


def _logprob(one: Mapping[str, Any]) -> float:
    value = one.get("logprob")
    return float(value) if isinstance(value, int | float) and not math.isnan(value) else -math.inf


def tokens_kept(tokens: Sequence[Token]) -> list[Any]:
    """The same as JSON has it."""
    return [[one.text, max(one.logprob, LEAST), {k: max(v, LEAST) for k, v in one.others.items()}] for one in tokens]


def tokens_read(kept: Any) -> list[Token]:
    """And back."""
    return [Token(text, logprob, others) for text, logprob, others in kept or []]
