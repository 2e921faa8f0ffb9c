"""Kernels: one file per family, found by being here.

A file holds the family's specification, which operators it stands for, how its constants are packed, its code, what it
is timed on and how it may be tuned, behind `protocol.KernelSpec`.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from pydantic import TypeAdapter

from splitkit.compiler.kernels.protocol import KernelSpec


def families() -> Mapping[str, type[KernelSpec]]:
    """Every family in this package, by its kind."""
    return _families(tuple(sorted(module.name for module in iter_modules(__path__))))


@cache
def _families(names: tuple[str, ...]) -> Mapping[str, type[KernelSpec]]:
    found = {}
    for name in names:
        module = import_module(f"{__name__}.{name}")
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, KernelSpec) and value.__module__ == module.__name__:
                found[getattr(value, "kind", "")] = value
    del found[""]  # the protocol itself
    return found


def payload(spec: KernelSpec) -> str:
    """Canonical JSON of a specification, from which it is made again."""
    unsaid = {f.name for f in fields(spec) if f.metadata.get("unsaid") and getattr(spec, f.name) == f.default}
    body = {name: value for name, value in asdict(spec).items() if name not in unsaid}
    return json.dumps({"kind": spec.kind} | body, sort_keys=True, separators=(",", ":"))


def key(spec: KernelSpec) -> str:
    """Readable family and a 64-bit hash of the payload, `pointwise-9f86d081884c7d65`."""
    return f"{spec.family}-{hashlib.sha256(payload(spec).encode()).hexdigest()[:16]}"


def from_payload(text: str) -> KernelSpec:
    """The specification a payload was made from."""
    body: dict[str, Any] = json.loads(text)
    return _adapter(families()[body.pop("kind")]).validate_python(body)


@cache
def _adapter(family: type[KernelSpec]) -> TypeAdapter[KernelSpec]:
    return TypeAdapter(family)
