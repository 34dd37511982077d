"""DICOM UIDs: what they look like, and what stands for them where they must not be told."""

import hashlib
import re

_UID = re.compile(r"[0-9.]{1,64}")


def is_uid(text: str) -> bool:
    """Return whether a text has the form of a UID (PS3.5 9.1)."""
    return bool(_UID.fullmatch(text))


def hash_uid(uid: str) -> str:
    """Return SHA-256 of a UID, hexadecimal: it can be compared with UIDs that one has, but tells none."""
    return hashlib.sha256(uid.encode("utf-8", "surrogatepass")).hexdigest()
