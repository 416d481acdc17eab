"""``kaizen convert``: traces that other programs kept, to recorded runs that ``kaizen bench`` and ``kaizen replay`` read."""

from __future__ import annotations

import argparse
import csv
import gzip
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from kaizen_security.cli.terminal.paint import Progress, json_text, plain
from kaizen_security.collectors.traces.langfuse import Langfuse
from kaizen_security.collectors.traces.otel import Otel
from kaizen_security.contract.action import Json
from kaizen_security.contract.errors import InvalidInput, Misconfigured
from kaizen_security.contract.fields import parse

MAX_BYTES: Final = 512 << 20
"""Of one file, unpacked: an export is held in memory until its runs are put together."""
FORMS: Final[dict[str, type[Otel | Langfuse]]] = {"otel": Otel, "langfuse": Langfuse}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its flags."""
    parser.add_argument(
        "form", choices=sorted(FORMS), help="otel: OTLP/JSON, or spans as an SDK prints them; langfuse: observations"
    )
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="JSON, JSON lines, for langfuse also CSV; also .gz; - is standard input",
    )
    parser.add_argument(
        "-o", "--output", metavar="FILE", required=True, help="JSON lines, .gz if it ends so; - to print"
    )
    parser.add_argument("--agent", metavar="NAME", help="whose runs these are, instead of whom the traces name")
    parser.epilog = (
        "What could not be used is counted by reason. Exit status: 0 when runs were written, 1 when there is none, or a file "
        "or its output cannot be used."
    )


def run(args: argparse.Namespace) -> int:
    """Read, put together, write."""
    decoder = FORMS[args.form]()
    progress = Progress()
    unread = 0
    for name in args.files:
        for number, document in enumerate(_documents(name), 1):
            if isinstance(document, InvalidInput):
                unread += 1
                print(f"kaizen convert: {plain(name)}: {document.problem}", file=sys.stderr)
            else:
                decoder.take(document)
            progress.at(number, "documents")
    progress.done()
    runs = steps = requests = 0
    with _Output(args.output) as output:
        for document in decoder.documents():
            if args.agent:
                document["agent"] = args.agent
            output.line(json_text(document, default=str))
            runs += 1
            held = document["steps"]
            steps += len(held) if isinstance(held, list) else 0
            requests += bool(document["user_task"])
    told = f"{runs} runs with {steps} steps, {requests} of them with what the user asked"
    print(f"kaizen convert: {told}", file=sys.stderr)
    for reason, count in sorted(decoder.losses.items()):
        if count:
            print(f"kaizen convert: not used: {count} {reason}", file=sys.stderr)
    if unread:
        print(f"kaizen convert: {unread} lines could not be read (named above)", file=sys.stderr)
    return 0 if runs else 1


def _documents(name: str) -> Iterator[Json | InvalidInput]:
    data = _read(name)
    if name.removesuffix(".gz").endswith(".csv"):
        yield from _csv(data, name)
        return
    try:
        whole: Json = parse(data, limit=MAX_BYTES)
    except InvalidInput:
        for number, line in enumerate(data.splitlines(), 1):
            if line.strip():
                try:
                    yield parse(line, limit=MAX_BYTES)
                except InvalidInput:
                    yield InvalidInput("", f"line {number} is not valid JSON")
    else:
        yield whole


def _csv(data: bytes, name: str) -> Iterator[Json]:
    csv.field_size_limit(64 << 20)
    try:
        for row in csv.DictReader(data.decode("utf-8-sig", "replace").splitlines(keepends=True)):
            yield {key: value for key, value in row.items() if isinstance(key, str) and value not in (None, "")}
    except csv.Error as err:
        raise Misconfigured(f"{name} cannot be read as CSV: {err}") from err


def _read(name: str) -> bytes:
    try:
        if name == "-":
            data = sys.stdin.buffer.read(MAX_BYTES + 1)
        elif name.endswith(".gz"):
            with gzip.open(name) as file:
                data = file.read(MAX_BYTES + 1)
        else:
            with open(name, "rb") as plain_file:
                data = plain_file.read(MAX_BYTES + 1)
    except (OSError, EOFError) as err:
        raise Misconfigured(f"{name} cannot be read: {getattr(err, 'strerror', None) or err}") from err
    if len(data) > MAX_BYTES:
        raise Misconfigured(f"{name} has more than {MAX_BYTES >> 20} MB: split it, by trace")
    return data


class _Output:
    """Where lines go. A file is there whole, or not at all."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._part = Path(name + ".part")

    def __enter__(self) -> _Output:
        try:
            opened = gzip.open if self._name.endswith(".gz") else open
            self._file = sys.stdout if self._name == "-" else opened(self._part, "wt", encoding="utf-8")
        except OSError as err:
            raise Misconfigured(f"{self._name} cannot be written: {err.strerror}") from err
        return self

    def line(self, text: str) -> None:
        """One more line."""
        # A lone surrogate of a foreign document has no bytes: the mark for what is no text stands for it.
        self._file.write(text.encode("utf-8", "replace").decode() + "\n")

    def __exit__(self, kind: object, *_: object) -> None:
        if self._name == "-":
            return
        self._file.close()
        if kind is not None:
            self._part.unlink(missing_ok=True)
            return
        try:
            self._part.replace(self._name)
        except OSError as err:
            self._part.unlink(missing_ok=True)
            raise Misconfigured(f"--output {self._name!r} cannot be written: {err.strerror}") from err
