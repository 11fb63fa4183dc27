"""The caller's own metadata of a hold, an entry or a grant: bounded, and never looked into."""

from collections.abc import Mapping
from typing import Final

import msgspec

from gatekeeper.errors import InvalidInputError
from gatekeeper.services.customers import check_text

MAX_KEYS: Final = 20
MAX_BYTES: Final = 2_048

_ENCODER: Final = msgspec.json.Encoder(order="sorted")


def metadata_text(metadata: Mapping[str, str] | None) -> str | None:
    """Metadata as it is stored: the text of a JSON object; None for none.

    Raises:
        InvalidInputError: it is no mapping of short texts, or larger than 20 keys or 2 KiB.
    """
    if not metadata:
        return None
    if len(metadata) > MAX_KEYS:
        raise InvalidInputError(f"Metadata may have {MAX_KEYS} keys at most.")
    for key, value in metadata.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise InvalidInputError("Metadata maps texts to texts.")
        check_text(key, "key of the metadata")
        check_text(value, "value in the metadata")
    text = _ENCODER.encode(dict(metadata))
    if len(text) > MAX_BYTES:
        raise InvalidInputError(f"Metadata may take {MAX_BYTES} bytes at most.")
    return text.decode()
