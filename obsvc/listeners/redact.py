"""Taking secrets out of what is shown of a message that could not be read.

Pure; any thread.  nova's ``scheduler.select_destinations.*`` really carries a live token, older services put the
caller's into ``_context_auth_token``.  The text need not be JSON, and may be JSON inside JSON (escaped quotes).
"""
from __future__ import annotations

import re

#: Characters of an excerpt, and bytes that are looked at to make it.
EXCERPT = 2000
_LOOKED_AT = 64 * 1024

_MASK = "***"

_SECRET_KEY = (
    r"[\w.:-]*(?:token|passw(?:or)?d|passphrase|secret|adminpass|admin_pass|credential|private_?key|api_?key|"
    r"authorization|user_data|injected_files|connection_info|cookie)[\w.:-]*"
)
_PATTERNS = (
    # "key": "value", also with escaped quotes; the value ends at the next quote or at the end of the text
    (re.compile(rf'(?i)(\\*["\']{_SECRET_KEY}\\*["\']\s*[:=]\s*\\*["\'])([^"\'\\]*)'), rf"\1{_MASK}"),
    # key=value, key: value without quotes
    (re.compile(rf"(?i)(\b{_SECRET_KEY}\s*[=:]\s*)([^\s\"'\\,;&}}{{\[\]]+)"), rf"\1{_MASK}"),
    # Fernet tokens, JSON web tokens, basic and bearer credentials, URLs with a password
    (re.compile(r"gAAAA[\w=%-]*"), _MASK),
    (re.compile(r"eyJ[\w-]{8,}(?:\.[\w-]*)*"), _MASK),
    (re.compile(r"(?i)\b(basic|bearer)\s+[\w+/=.~-]{6,}"), rf"\1 {_MASK}"),
    (re.compile(r"(://[^/\s:@\"']*:)[^@\s\"'/]+@"), rf"\1{_MASK}@"),
    (re.compile(r"-----BEGIN[^-]*-----.*?(?:-----END[^-]*-----|$)", re.DOTALL), _MASK),
)


def redact(text: str) -> str:
    """``text`` with whatever looks like a secret replaced by ``***``."""
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def excerpt(body: bytes, limit: int = EXCERPT) -> str:
    """The beginning of a message, at most ``limit`` characters, redacted and printable."""
    text = redact(body[:_LOOKED_AT].decode("utf-8", "replace"))[:limit]
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
