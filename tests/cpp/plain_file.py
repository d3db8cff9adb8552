"""Writes plain data exactly: what JSON holds, and numbers and bytes that JSON does not. plain_file.h reads it."""

from typing import Any


def plain(value: Any) -> bytes:
    """`n`, `t`, `f`, `i<decimal>;`, `d<hexadecimal>;`, `s<bytes>:<text>`, `[...]` or `{<text><value>...}`."""
    if value is None:
        return b"n"
    if isinstance(value, bool):
        return b"t" if value else b"f"
    if isinstance(value, int):
        return b"i%d;" % value
    if isinstance(value, float):
        return b"d%s;" % value.hex().encode()
    if isinstance(value, str | bytes):
        text = value.encode() if isinstance(value, str) else value
        return b"s%d:%s" % (len(text), text)
    if isinstance(value, dict):
        return b"{%s}" % b"".join(plain(key) + plain(item) for key, item in value.items())
    return b"[%s]" % b"".join(map(plain, value))
