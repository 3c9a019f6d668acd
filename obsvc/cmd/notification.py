"""``obsvc notification decode``: what obsvc reads in notifications, without a bus or a cloud.

No configuration is needed; where ``--config-file`` names one, its ``[catalog] folders`` count.
"""
from __future__ import annotations

import argparse
import json
import pathlib
import sys
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import msgspec
from cliff import command

from obsvc.catalog import load
from obsvc.cmd.base import add_catalog_option, configured_catalog
from obsvc.exceptions import InvalidInput, UndecodableMessage
from obsvc.listeners.decode import Decoder
from obsvc.messaging import wire
from obsvc.model import Notification

_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_text = msgspec.json.Decoder(str)

#: A first line that ends like this begins a message of several lines.
_GOES_ON = (b"{", b"[", b",", b":")


#: Files in a folder of messages that hold no message.
_DOCUMENTS = {".md", ".rst"}


class Source(NamedTuple):
    """One message as it was given: where from, its bytes."""

    place: str
    text: bytes


class Decode(command.Command):
    """Print one JSON line for each notification: what it is about, or why it can't be read.

    A file holds one message, or one a line; a message is an inner notification, its wire envelope, a line of a
    capture (its body counts), or an object with the notification under "message".  Folders are read recursively,
    in the order of their names, without hidden files and documents (.md, .rst).  Without FILE, or for "-",
    standard input is read.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("files", nargs="*", metavar="FILE", help="file, folder, or - for standard input")
        add_catalog_option(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        decoder = Decoder(load([*configured_catalog(self.app.options.config_file)[0], *parsed_args.catalog]))
        for name, text in inputs(parsed_args.files or ["-"]):
            for source in split(name, text):
                self.app.stdout.write(json.dumps(describe(decoder, source)) + "\n")
        return 0


def inputs(names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of each file that ``names`` mean (files, folders, ``-``); raises InvalidInput."""
    paths = [(name, pathlib.Path(name)) for name in names]
    for name, path in paths:  # reported before anything is printed
        if name != "-" and not path.exists():
            raise InvalidInput(f"expected a file or folder, there is no {name}: correct the name")
    for name, path in paths:
        if name == "-":
            yield "-", sys.stdin.buffer.read()
            continue
        for file in _in_folder(path) if path.is_dir() else [path]:
            try:
                yield str(file), file.read_bytes()
            except OSError as error:
                raise InvalidInput(f"can't read {file}: {error.strerror}") from error


def _in_folder(folder: pathlib.Path) -> list[pathlib.Path]:
    return sorted(
        file for file in folder.rglob("*")
        if file.is_file() and file.suffix not in _DOCUMENTS and not file.name.startswith(".")
    )


def split(name: str, text: bytes) -> list[Source]:
    """The messages in a file's bytes: the whole of it where that is JSON, else each line that is not blank."""
    whole = [Source(name, text)]
    lines = [(number, line) for number, line in enumerate(text.split(b"\n"), 1) if line.strip()]
    if len(lines) < 2 or _is_json(text):
        return whole
    first = lines[0][1].strip()
    if first.endswith(_GOES_ON) and not any(_is_message(line) for _, line in lines):
        return whole  # one broken message of several lines
    return [Source(f"{name}:{number}", line) for number, line in lines]


def _is_json(text: bytes) -> bool:
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
    except wire.DECODE_ERRORS:
        return False
    return True


def _is_message(line: bytes) -> bool:
    try:
        keys = _object.decode(line).keys()
    except wire.DECODE_ERRORS:
        return False
    return not keys.isdisjoint({"event_type", "oslo.message", "body", "message"})


def body_of(text: bytes) -> tuple[bytes | str, str | None]:
    """The message's body, out of a capture line or a test-data file where it is one, and its exchange if known."""
    try:
        outer = _object.decode(text)
        if "event_type" in outer or "oslo.message" in outer or "request" in outer:
            return text, None
        exchange = _string(outer.get("exchange"))
        if "body" in outer:
            return _string(outer["body"]) or bytes(outer["body"]), exchange
        if "message" in outer:
            return bytes(outer["message"]), exchange
    except wire.DECODE_ERRORS:
        pass  # the decoder says what is wrong with it
    return text, None


def _string(raw: msgspec.Raw | None) -> str | None:
    return _text.decode(raw) if raw is not None and bytes(raw)[:1] == b'"' else None


def describe(decoder: Decoder, source: Source) -> dict[str, Any]:
    """The line to print for one message."""
    try:
        body, exchange = body_of(source.text)
        return line_of(decoder.decode(body, exchange=exchange))
    except UndecodableMessage as error:
        return {"error": error.message, "reason": error.reason, "source": source.place}


def line_of(notification: Notification) -> dict[str, Any]:
    """What the notification says, as JSON-able values; ``resource_ids`` where the message has a list of them."""
    ids = notification.resource_ids
    line: dict[str, Any] = {
        "event_type": notification.event_type,
        "service": notification.service,
        "resource_type": notification.resource_type,
        "resource_id": ids[0] if len(ids) == 1 else None,
        "project_id": notification.project_id,
        "phase": notification.phase,
        "timestamp": notification.timestamp,
        "family": notification.family,
        "look": notification.look,
    }
    if notification.listed:
        line["resource_ids"] = list(ids)
    if notification.guessed:
        line["guessed"] = True
    if notification.state is not None:
        line["state"] = notification.state
    if notification.why_none is not None:
        line["why"] = notification.why_none
    return line
