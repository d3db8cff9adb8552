"""The two string hashes in plain Python: the specification of the compiled ones."""

from __future__ import annotations

MASK = 2**64 - 1


def murmur64a(text: bytes, seed: int = 0xC70F6907) -> int:
    """MurmurHash64A (Appleby): 8-byte blocks, then the rest, then a final mix."""
    m = 0xC6A4A7935BD1E995
    h = seed ^ (len(text) * m & MASK)
    whole = len(text) // 8 * 8
    for at in range(0, whole, 8):
        k = int.from_bytes(text[at : at + 8], "little") * m & MASK
        k = (k ^ k >> 47) * m & MASK
        h = (h ^ k) * m & MASK
    if len(text) > whole:
        h = (h ^ int.from_bytes(text[whole:], "little")) * m & MASK
    h = (h ^ h >> 47) * m & MASK
    return h ^ h >> 47


K0, K1, K2 = 0xC3A5C85C97CB3127, 0xB492B66FBE98F273, 0x9AE16A3B2F90404F


def _rotate(v: int, by: int) -> int:
    return (v >> by | v << (64 - by)) & MASK


def _mix(u: int, v: int, mul: int) -> int:
    a = (u ^ v) * mul & MASK
    b = (v ^ a ^ a >> 47) * mul & MASK
    return (b ^ b >> 47) * mul & MASK


def farmhash(text: bytes) -> int:
    """FarmHash Fingerprint64 (Pike and Alakuijala): one rule per range of lengths."""
    n = len(text)

    def word(at: int, size: int = 8) -> int:
        return int.from_bytes(text[at : at + size], "little")

    mul = (K2 + 2 * n) & MASK
    if n == 0:
        return K2
    if n < 4:
        y = (text[0] + (text[n >> 1] << 8)) & 0xFFFFFFFF
        z = (n + (text[n - 1] << 2)) & 0xFFFFFFFF
        mixed = (y * K2 ^ z * K0) & MASK
        return (mixed ^ mixed >> 47) * K2 & MASK
    if n < 8:
        return _mix(n + (word(0, 4) << 3), word(n - 4, 4), mul)
    if n <= 16:
        a, b = (word(0) + K2) & MASK, word(n - 8)
        return _mix((_rotate(b, 37) * mul + a) & MASK, (_rotate(a, 25) + b) * mul & MASK, mul)
    k = K1 if n <= 32 else K2
    a, b, c, d = word(0) * k & MASK, word(8), word(n - 8) * mul & MASK, word(n - 16) * K2 & MASK
    y = (_rotate((a + b) & MASK, 43) + _rotate(c, 30) + d) & MASK
    z = (a + _rotate((b + K2) & MASK, 18) + c) & MASK
    if n <= 32:
        return _mix(y, z, mul)
    if n <= 64:
        z = _mix(y, z, mul)
        e, f = word(16) * mul & MASK, word(24)
        g, h = (y + word(n - 32)) * mul & MASK, (z + word(n - 24)) * mul & MASK
        first = (_rotate((e + f) & MASK, 43) + _rotate(g, 30) + h) & MASK
        return _mix(first, (e + _rotate((f + a) & MASK, 18) + g) & MASK, mul)
    return _long_farmhash(text)


def _long_farmhash(text: bytes) -> int:
    n = len(text)

    def word(at: int) -> int:
        return int.from_bytes(text[at : at + 8], "little")

    def absorb(at: int, a: int, b: int) -> tuple[int, int]:
        a = (a + word(at)) & MASK
        b = _rotate((b + a + word(at + 24)) & MASK, 21)
        total = (a + word(at + 8) + word(at + 16)) & MASK
        return (total + word(at + 24)) & MASK, (b + _rotate(total, 44) + a) & MASK

    y = (81 * K1 + 113) & MASK
    z = (y * K2 + 113) & MASK
    z = (z ^ z >> 47) * K2 & MASK
    x = (81 * K2 + word(0)) & MASK
    v, w, mul, weight = (0, 0), (0, 0), K1, 1
    starts = [*range(0, (n - 1) // 64 * 64, 64), n - 64]
    for at in starts:
        if at == starts[-1] and len(starts) == (n - 1) // 64 + 1:
            mul, weight = (K1 + ((z & 0xFF) << 1)) & MASK, 9
            low = (w[0] + ((n - 1) & 63)) & MASK
            v = ((v[0] + low) & MASK, v[1])
            w = ((low + v[0]) & MASK, w[1])
        x = _rotate((x + y + v[0] + word(at + 8)) & MASK, 37) * mul & MASK
        y = _rotate((y + v[1] + word(at + 48)) & MASK, 42) * mul & MASK
        x ^= w[1] * weight & MASK
        y = (y + v[0] * weight + word(at + 40)) & MASK
        z = _rotate((z + w[0]) & MASK, 33) * mul & MASK
        v = absorb(at, v[1] * mul & MASK, (x + w[0]) & MASK)
        w = absorb(at + 32, (z + w[1]) & MASK, (y + word(at + 16)) & MASK)
        x, z = z, x
    first = (_mix(v[0], w[0], mul) + (y ^ y >> 47) * K0 + z) & MASK
    return _mix(first, (_mix(v[1], w[1], mul) + x) & MASK, mul)


HASHES = {"murmur64a": murmur64a, "farmhash": farmhash}
