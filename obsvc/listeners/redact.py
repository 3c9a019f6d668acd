"""Taking secrets out of what is shown of a message that could not be read.

Pure; any thread.  nova's ``scheduler.select_destinations.*`` really carries a live token, older services put the
caller's into ``_context_auth_token``.  The text need not be JSON, may be JSON inside JSON (escaped quotes), of
another encoding, cut anywhere, or damaged on purpose: what looks like a secret by itself goes too, and where the end
of a secret can't be told, everything behind it goes.
"""
from __future__ import annotations

import re
import traceback
from typing import Any

import msgspec

from obsvc.engine_client.reports import DEAD_LETTER_BODY_MAX

#: Characters of an excerpt, and bytes that are looked at to make it.
EXCERPT = 2000
_LOOKED_AT = 16 * 1024

_MASK = "***"

#: JSON texts inside JSON texts that are looked into; oslo's envelope needs one.
_NESTED = 4

# Every repetition is bounded: the text comes from strangers, and must not be able to make a pattern slow.  A key is
# matched from its telling word on: looking for what stands before that costs twenty times as much.
_SECRET_WORD = (
    r"(?:token|passw(?:or)?d|passphrase|secret|admin_?pass|credential|private_?key|api_?key|authorization|user_data|"
    r"injected_files|connection_info|cookie)"
)
_SECRET_KEY = rf"{_SECRET_WORD}[\w.:-]{{0,40}}"
_is_secret = re.compile(rf"(?i){_SECRET_WORD}").search
_SLASHES = r"\\{0,15}"
_IS = r"\s{0,9}[:=]\s{0,9}"
_PATTERNS = (
    # Fernet tokens, JSON web tokens, basic and bearer credentials, URLs with a password, keys
    (re.compile(r"gAAAA[\w=%-]*"), _MASK),
    (re.compile(r"eyJ[\w-]{8,}(?:\.[\w-]*)*"), _MASK),
    (re.compile(r"(?i)\b(basic|bearer)\s{1,9}[\w+/=.~-]{6,}"), rf"\1 {_MASK}"),
    (re.compile(r"(://[^/\s:@\"']{0,99}:)[^@\s\"']{1,200}@"), rf"\1{_MASK}@"),
    (re.compile(r"-----BEGIN.*?(?:-----END[^-]*-----|$)", re.DOTALL), _MASK),
)
_KEYED = (
    # "key": "value": up to a quote with as many backslashes as the key's, or to the end of the text
    (re.compile(rf"(?is)({_SECRET_KEY})({_SLASHES})([\"'])({_IS})\2\3.*?(?:(?<!\\)\2\3|$)"),
     rf"\1\2\3\4\2\3{_MASK}\2\3"),
    # the same with quotes that do not agree: up to one that ends a value, or to the end of the text
    (re.compile(rf"(?is)({_SECRET_KEY}{_SLASHES}[\"']{_IS}{_SLASHES}[\"'])(.*?)"
                rf"(?={_SLASHES}[\"']\s{{0,9}}[,}}\]]|$)"), rf"\1{_MASK}"),
    # "key": {…} and "key": […]: where that ends is not asked
    (re.compile(rf"(?is)({_SECRET_KEY}{_SLASHES}[\"']{_IS}[\[{{])(?!\s{{0,9}}[\]}}]).*"), rf"\1{_MASK}"),
    # key=value, key: value without quotes
    (re.compile(rf"(?i)({_SECRET_KEY}{_IS})([^\s\"'\\,;&}}{{\[\]*]+)"), rf"\1{_MASK}"),
)

#: Long runs of the characters that tokens, keys and base64 are made of.  Ids are shorter or of one case.
_RUN = re.compile(r"[\w+/=%]{128,}|[\w+=-]{32,}")
_LONGEST_ID = 64


def _run(match: re.Match[str]) -> str:
    text = match.group()
    mixed = text != text.lower() and text != text.upper()
    return _MASK if mixed or len(text) > _LONGEST_ID else text


def redact(text: str) -> str:
    """``text`` with whatever looks like a secret replaced by ``***``."""
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    if _is_secret(text):
        for pattern, replacement in _KEYED:
            text = pattern.sub(replacement, text)
    return _RUN.sub(_run, text)


def excerpt(body: bytes, limit: int = EXCERPT) -> str:
    """The beginning of a message, at most ``limit`` characters, redacted and printable."""
    # UTF-16 and UTF-32 put NULs between the letters, which would hide a token from every pattern
    text = redact(body[:_LOOKED_AT].replace(b"\0", b"").decode("utf-8", "replace"))[:limit]
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def whole_body(body: bytes, limit: int = DEAD_LETTER_BODY_MAX) -> str:
    """The whole message, redacted, fit to be decoded again; "" where it is longer than ``limit`` or no text.

    JSON stays JSON: values are masked by their keys, texts as by :func:`redact`.
    """
    if len(body) > limit:
        return ""
    try:
        text = body.replace(b"\0", b"").decode()  # JSON has none; they would hide UTF-16's tokens from every pattern
    except UnicodeDecodeError:
        return ""
    masked = _json(text, 0)
    if masked is None:
        masked = redact("".join(
            character if character.isprintable() or character in "\r\n\t" else "\N{REPLACEMENT CHARACTER}"
            for character in text
        ))
    return masked if len(masked) <= limit else ""


def _json(text: str, level: int) -> str | None:
    """``text``, a JSON object or array, redacted; None where it is neither."""
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        return msgspec.json.encode(_masked(msgspec.json.decode(text), level)).decode()
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def _masked(value: Any, level: int) -> Any:
    if isinstance(value, str):
        inner = _json(value, level + 1) if level < _NESTED else None
        return redact(value) if inner is None else inner
    if isinstance(value, list):
        return [_masked(item, level) for item in value]
    if isinstance(value, dict):
        return {redact(key): _MASK if item is not None and _is_secret(key) else _masked(item, level)
                for key, item in value.items()}
    return value


def error_without_text(error: BaseException) -> str:
    """An error for the log: its class and where it was raised.  Its text is left out: it may quote the message."""
    frames = traceback.extract_tb(error.__traceback__)[-8:]
    return type(error).__name__ + " at " + " < ".join(
        f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in reversed(frames)
    )
