"""Checks envelope.txt against the decision record on the sealed envelope, without any of the Rust code.

Needs Python 3 and its package `cryptography`. `python3 check.py` recomputes every value from its fields and compares.
"""

import hashlib
import hmac
import pathlib
import struct
import sys

from cryptography.hazmat.primitives.ciphers import algorithms
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from cryptography.hazmat.primitives.kdf.kbkdf import KBKDFCMAC, CounterLocation, Mode


def derive(key, label):
    return HKDFExpand(algorithm=SHA256(), length=32, info=b"cloakroom seal: " + label).derive(key)


def xaes(key, nonce, message):
    kdf = KBKDFCMAC(algorithm=algorithms.AES256, mode=Mode.CounterMode, length=32, rlen=2, llen=None,
                    location=CounterLocation.BeforeFixed, label=None, context=None,
                    fixed=b"X\x00" + nonce[:12])
    return AESGCM(kdf.derive(key)).encrypt(nonce[12:], message, b"")


def framed(purpose, parts):
    parts = [purpose.encode(), *parts]
    return struct.pack(">Q", len(parts)) + b"".join(struct.pack(">Q", len(part)) + part for part in parts)


def value(fields):
    key = bytes.fromhex(fields["key"])
    parts = []
    while f"part {len(parts) + 1}" in fields:
        parts.append(bytes.fromhex(fields[f"part {len(parts) + 1}"]))
    context = framed(fields["purpose"], parts)
    message = bytes.fromhex(fields["message"])
    key_id = derive(key, b"key id")[:4]
    if fields["kind"] == "signed":
        out = b"\x81" + key_id + message
        return out + hmac.digest(derive(key, b"signature"), context + out, hashlib.sha256)
    nonce = bytes.fromhex(fields["nonce"])
    head = b"\x80" + key_id + nonce
    sealed = xaes(derive(key, b"encryption"), nonce, message)
    mac = hmac.digest(derive(key, b"authentication"), head + sealed[-16:] + context, hashlib.sha256)
    return head + sealed + mac


def main():
    vectors = pathlib.Path(__file__).with_name("envelope.txt").read_text()
    checked = 0
    for block in vectors.split("\n\n"):
        lines = [line for line in block.splitlines() if line and not line.startswith("#")]
        fields = dict(line.split(" = ", 1) if " = " in line else (line.removesuffix(" ="), "") for line in lines)
        if "kind" not in fields:
            continue
        if value(fields).hex() != fields["value"]:
            sys.exit(f"a value differs:\n{block}\nexpected {value(fields).hex()}")
        checked += 1
    print(f"{checked} vectors agree")


if __name__ == "__main__":
    main()
