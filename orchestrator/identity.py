"""The only source of randomness: ids and secrets, in swarm mode's formats."""

import secrets

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_ID_LENGTH = 25
_ID_BYTES = 17


def base36(number: int, length: int) -> str:
    """`number` in base 36, padded with zeros on the left, cut to its last `length` digits."""
    digits = []
    for _ in range(length):
        number, digit = divmod(number, 36)
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))


def new_id() -> str:
    """A 25-character base-36 id of 17 random bytes, as swarmkit's `identity/randomid.go` makes them."""
    return base36(int.from_bytes(secrets.token_bytes(_ID_BYTES)), _ID_LENGTH)


def random_bytes(count: int) -> bytes:
    """So many unguessable bytes."""
    return secrets.token_bytes(count)


def new_secret() -> str:
    """The random part of a join token: 16 bytes in base 36, 25 characters (swarmkit `ca/config.go`)."""
    return base36(int.from_bytes(secrets.token_bytes(16)), _ID_LENGTH)


def random_fraction() -> float:
    """A number from 0 up to, but not, 1."""
    return secrets.randbelow(2**32) / 2**32
