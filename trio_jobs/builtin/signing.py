"""Standard Webhooks signatures: https://github.com/standard-webhooks/standard-webhooks

The receiver checks `webhook-signature` over `webhook-id`, `webhook-timestamp` and the body with
the secret that both sides know. Libraries for that exist in most languages.
"""

import base64
import binascii
import hashlib
import hmac

PREFIX = "whsec_"
SHORTEST_KEY = 24
"""Bytes of key that the standard asks for at least."""


def keys(secret: str) -> list[bytes]:
    """The keys in `secret`: `whsec_` and base64, or several of these with spaces between.

    Several are for the time in which a secret is replaced: each signs, the receiver needs one.
    ValueError, without the secret in it, when one cannot be used.
    """
    words = secret.split()
    if not words:
        raise ValueError("the secret is empty")
    return [_key(word) for word in words]


def _key(word: str) -> bytes:
    text = word.removeprefix(PREFIX)
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) < SHORTEST_KEY:
        raise ValueError(
            f"a secret is {PREFIX!r} followed by base64 of {SHORTEST_KEY} bytes or more; "
            'make one with: echo "whsec_$(openssl rand -base64 32)"'
        )
    return key


def signature_headers(secret: str, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three headers that prove to a receiver where `body` comes from and when.

    `timestamp` is in Unix seconds; `message_id` stays the same when a message is sent again.
    """
    signed = f"{message_id}.{timestamp}.".encode() + body
    signatures = (hmac.digest(key, signed, hashlib.sha256) for key in keys(secret))
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(
            "v1," + base64.b64encode(signature).decode() for signature in signatures
        ),
    }
