"""Answers as values: what a model is told of a schema, and what is found in its words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ValidationError

from easyrec.llm.client.messages import Message, system, user

M = TypeVar("M", bound=BaseModel)
KEPT = 4000
"""Characters of a wrong answer that the model is shown again."""
STARTS = 32
"""Places in an answer where JSON might begin that are tried."""
PROBLEMS = 5
"""Mistakes that are told at a time."""


def form_of(schema: type[BaseModel], by: Literal["schema", "object", "prompt"]) -> dict[str, Any]:
    """The fields of a request that make a server answer so."""
    if by == "prompt":
        return {}
    if by == "object":
        return {"response_format": {"type": "json_object"}}
    form = {"name": schema.__name__, "schema": closed(schema.model_json_schema()), "strict": True}
    return {"response_format": {"type": "json_schema", "json_schema": form}}


def closed(schema: Any) -> Any:
    """A schema whose objects have all of their fields and no others, as servers that enforce it want it."""
    if isinstance(schema, list):
        return [closed(entry) for entry in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: closed(value) for key, value in schema.items()}
    if made.get("type") == "object" and isinstance(made.get("properties"), dict):
        made["additionalProperties"] = False
        made["required"] = list(made["properties"])
    return made


def told_in(schema: type[BaseModel]) -> Message:
    """Says what the answer shall be, for servers that cannot be given a schema."""
    form = json.dumps(closed(schema.model_json_schema()), ensure_ascii=False, separators=(",", ":"))
    return system(f"Answer with one JSON object and nothing else. It follows this JSON schema: {form}")


def again(said: str, wrong: str) -> list[Message]:
    """Asks for a better answer."""
    return [
        Message("assistant", said[:KEPT] or "(nothing)"),
        user(f"That is not the JSON that was asked for: {wrong}. Answer again, with the JSON object alone."),
    ]


def value_in(text: str, schema: type[M]) -> tuple[M | None, str]:
    """The first value in a text that follows a schema, else why there is none.

    Models put words before it, and fences around it.
    """
    wrong = "there is no JSON object in it"
    for number, found in enumerate(_objects(text)):
        try:
            return schema.model_validate_json(found), ""
        except ValidationError as error:  # noqa: PERF203 (few)
            if number == 0:
                wrong = _problems(error)
    return None, wrong


def _objects(text: str) -> Iterator[str]:
    """Parts of a text that are JSON objects, outermost first."""
    decoder, start = json.JSONDecoder(), 0
    for _ in range(STARTS):
        start = text.find("{", start)
        if start < 0:
            return
        try:
            _, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            start += 1
            continue
        yield text[start:end]
        start = end


def _problems(error: ValidationError) -> str:
    """What is wrong, without the values: they are the model's words."""
    problems = error.errors(include_url=False, include_input=False)
    told = [f"{'.'.join(map(str, p['loc'])) or 'the object'}: {p['msg']}" for p in problems[:PROBLEMS]]
    more = len(problems) - len(told)
    return "; ".join(told) + (f"; and {more} more" if more > 0 else "")
