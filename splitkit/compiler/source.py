"""A digest of what an exporter's source does, whatever it looks like and in whichever file it stands."""

import ast
import hashlib
import json
import os
import sys
from collections.abc import Collection, Iterator
from contextlib import suppress
from importlib.util import cache_from_source
from pathlib import Path
from typing import Any

LEFT_OUT = frozenset({"ctx", "annotation", "returns", "type_comment", "type_params", "kind"})
"""Fields of Python's syntax tree that generate nothing: annotations, and what the parser adds for itself."""

CACHE = "source-digest.json"


def source_digest(*roots: Path, apart_from: Collection[str] = ()) -> str:
    """Eight hex digits of what the Python files below the `roots` define, those named `apart_from` left out.

    They stay as they are when a comment, a docstring, an annotation, the layout or a message of an error changes, or a
    definition moves to another file: what is hashed is the syntax of every definition, in no order, without imports.
    All of the supported Python versions give the same digits.

    Parsing takes a tenth of a second, so the digits are kept beside Python's own compiled files, for these very bytes.
    """
    sources = [
        file.read_bytes()
        for root in roots
        for file in sorted(root.rglob("*.py"))
        if file.relative_to(root).as_posix() not in apart_from
    ]
    raw = hashlib.sha256()
    for source in sources:
        raw.update(hashlib.sha256(source).digest())
    cache = Path(cache_from_source(str(roots[0] / "__init__.py"))).with_name(CACHE)
    known = _known(cache)
    if known.get("of") != raw.hexdigest():
        known = {"of": raw.hexdigest(), "digest": definitions_digest(sources)}
        _keep(cache, known)
    return known["digest"][:8]


def definitions_digest(sources: Collection[bytes]) -> str:
    """SHA-256, hexadecimal, of the sorted digests of every definition in these sources."""
    found = [
        hashlib.sha256("".join(_text(statement)).encode()).digest()
        for source in sources
        for statement in _alive(ast.parse(source).body)
    ]
    return hashlib.sha256(b"".join(sorted(found))).hexdigest()


def _alive(body: list[ast.stmt]) -> list[ast.stmt]:
    """Statements without imports, docstrings, and what is there for type checkers alone."""
    return [
        statement
        for statement in body
        if not isinstance(statement, ast.Import | ast.ImportFrom | ast.Pass)
        and not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant))
        and not (
            isinstance(statement, ast.If)
            and isinstance(statement.test, ast.Name)
            and statement.test.id == "TYPE_CHECKING"
        )
    ]


def _text(node: ast.AST) -> Iterator[str]:
    """A node in words of our own: Python's `ast.dump` differs from version to version."""
    yield type(node).__name__
    if isinstance(node, ast.Raise):  # what is said where nothing is generated
        return
    if isinstance(node, ast.Constant):
        yield f"({type(node.value).__name__} {node.value!r})"
        return
    yield "("
    for name in node._fields:
        value = getattr(node, name, None)
        if name in LEFT_OUT or value is None or value == []:
            continue
        yield f"{name}="
        for part in _parts(node, name, value):
            yield from _text(part) if isinstance(part, ast.AST) else [repr(part)]
            yield ","
    yield ")"


def _parts(node: ast.AST, name: str, value: Any) -> list[Any]:
    """What a field holds, as a list, without what generates nothing."""
    if not isinstance(value, list):
        return [value]
    if isinstance(node, ast.JoinedStr):  # Python 3.12 ends some formats with an empty text
        return [part for part in value if not (isinstance(part, ast.Constant) and part.value == "")]
    return _alive(value) if name in ("body", "orelse", "finalbody") else value


def _known(cache: Path) -> dict[str, str]:
    """What an earlier process found; nothing if it left nothing, or something else."""
    with suppress(OSError, ValueError):
        body = json.loads(cache.read_text())
        if isinstance(body, dict) and isinstance(body.get("digest"), str) and len(body["digest"]) == 64:
            return body
    return {}


def _keep(cache: Path, known: dict[str, str]) -> None:
    """Leave it for the next process, where Python may leave its own compiled files."""
    if sys.dont_write_bytecode:
        return
    with suppress(OSError):
        cache.parent.mkdir(exist_ok=True)
        partial = cache.with_name(f"{cache.name}.{os.getpid()}.tmp")
        partial.write_text(json.dumps(known))
        partial.replace(cache)
