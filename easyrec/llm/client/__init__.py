"""The one client of language models: chat, embeddings and rerank by the HTTP interface that their servers share.

`Client` waits for its answers, `AsyncClient` is for code that runs in an event loop; both are the same underneath. Of
one client all calls share its pace, its budget and its cache.
"""

from easyrec.llm.client.blocking import Client
from easyrec.llm.client.client import AsyncClient
from easyrec.llm.client.endpoint import Budget, Endpoint, Price
from easyrec.llm.client.ledger import Usage, metered
from easyrec.llm.client.messages import Answer, Image, Message, Parsed, Piece, system, user

__all__ = [
    "Answer",
    "AsyncClient",
    "Budget",
    "Client",
    "Endpoint",
    "Image",
    "Message",
    "Parsed",
    "Piece",
    "Price",
    "Usage",
    "metered",
    "system",
    "user",
]
