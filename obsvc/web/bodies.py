"""Request bodies of a bounded size."""
from __future__ import annotations

import falcon

from obsvc.exceptions import TooLarge

#: Largest request body, bytes: 500 reports of a few kilobytes each are far below.
BODY_MAX = 64 * 1024 * 1024


def read_body(req: falcon.Request) -> bytes:
    """The request's body; TooLarge where it is larger than BODY_MAX."""
    if (req.content_length or 0) > BODY_MAX:
        raise TooLarge(f"expected a body of at most {BODY_MAX} bytes, got {req.content_length}")
    return req.bounded_stream.read()
