"""What the model is asked of an item or a user, and the form of its answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, create_model

from easyrec.llm.client import Message, system, user
from easyrec.llm.telling import line, seen
from easyrec.llm.texts import DATA
from easyrec.llm.tools.profile import UNKNOWN, Config, FieldConfig

QUOTE = 120
"""Characters of a quote."""
OF_ITEM = """\
You describe things for the recommender of a shop. You are told one thing, "item", and answer the fields below."""
OF_USER = """\
You sum up what a person is interested in, for the recommender of a shop. You are told what this person took, an "event" a line, the
oldest first, and answer the fields below."""
HOW = """
Say nothing that you do not know: an empty list, an empty text, or "{unknown}" is better than a guess. Write values in the language of
the text, in few words.
{fields}"""
ONLY = " Only what the text itself says, in its words."
WITH = " Only what the text says: `quote` repeats its words that say so."
SHOP = "\nThe shop: {shop}"


def schema_of(fields: Sequence[FieldConfig]) -> type[BaseModel]:
    """What is answered."""
    loose = ConfigDict(extra="ignore")
    made: dict[str, Any] = {}
    for one in fields:
        if one.type == "text":
            made[one.name] = (Annotated[str, StringConstraints(max_length=one.characters)], ...)
            continue
        if one.type == "choice":
            made[one.name] = (Literal[(*one.allowed, UNKNOWN)], ...)
            continue
        value: Any = (
            Literal[tuple(one.allowed)] if one.allowed else Annotated[str, StringConstraints(max_length=one.characters)]
        )
        if one.grounded == "quoted":
            quote = Annotated[str, StringConstraints(max_length=QUOTE)]
            value = create_model(f"Claim_{one.name}", __config__=loose, value=(value, ...), quote=(quote, ...))
        made[one.name] = (Annotated[list[value], Field(max_length=one.count)], ...)
    return create_model("Profile", __config__=loose, **made)


def rules_of(own: Config, fields: Sequence[FieldConfig], of: Literal["item", "user"]) -> str:
    """What the model is told to do."""
    told = []
    for one in fields:
        how = {"text": f"at most {one.characters} characters", "list": f"up to {one.count} values", "choice": "one"}
        among = f" of: {', '.join(one.allowed)}" if one.allowed else ""
        only = WITH if one.grounded == "quoted" else ONLY if one.grounded else ""
        told.append(f"- {one.name} ({how[one.type]}{among}): {one.about}{only}")
    rules = (OF_ITEM if of == "item" else OF_USER) + HOW.format(unknown=UNKNOWN, fields="\n".join(told))
    return rules + (SHOP.format(shop=seen(own.shop)) if own.shop else "") + DATA


def talk_of(rules: str, told: Sequence[dict[str, Any]]) -> list[Message]:
    """The messages."""
    return [system(rules), user("\n".join(map(line, told)))]
