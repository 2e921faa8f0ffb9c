"""Pages of the site that are generated from the code: commands, configuration, spaces, profiles, the Python reference.

Run by mkdocs (plugin gen-files); nothing here is typed twice.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

import mkdocs_gen_files
from pydantic import BaseModel
from pydantic.fields import FieldInfo

import splitkit
from splitkit.cli.main import COMMANDS
from splitkit.devices.linux_cross.device import LinuxCrossOptions
from splitkit.devices.qemu_system.board import Board
from splitkit.devices.rpc.options import RpcOptions
from splitkit.profiles.schema import DeviceProfile, LinkProfile, System
from splitkit.project.config import Project
from splitkit.space.search_space import SearchSpace, space_template

ROOT = Path(__file__).parents[2]

OPTIONS: dict[str, type[BaseModel]] = {"linux-cross": LinuxCrossOptions, "qemu-system": Board, "rpc": RpcOptions}
"""What `[options]` of a device profile may hold."""

PACKAGES = {
    "space": "what can be chosen, what one choice is, what it computes",
    "profiles": "devices, links and systems",
    "data": "images and labels",
    "supernet": "the two weight-sharing networks",
    "training": "the training loop, evaluation, fine-tuning",
    "autograd": "operators that train faster than torch's own",
    "graphs": "ONNX graphs: rendering, exporting, cutting, reading, quantising",
    "compiler": "from a graph to kernels and code",
    "exporters": "one folder per edge runtime",
    "devices": "running and timing what was compiled",
    "latency": "the table and predictions from it",
    "bench": "measuring, and building the table",
    "tuning": "searching register tiles",
    "search": "evolution, feedback, fronts",
    "partition": "the best cut of any ONNX model",
    "bundle": "both halves, proved",
    "runtime": "the two processes and the link between them",
    "report": "tables, the page and its pictures",
    "project": "splitkit.toml and the steps of the loop",
}


def write(path: str, text: str) -> None:
    with mkdocs_gen_files.open(path, "w") as page:
        page.write(text)


def modules_of(package: str) -> Iterator[str]:
    """Dotted names of a package's public modules, the package itself first."""
    folder = ROOT / ("" if package in ("exporters", "profiles") else "splitkit") / package
    for file in sorted(folder.rglob("*.py")):
        parts = file.relative_to(folder).with_suffix("").parts
        if any(part.startswith("_") and part != "__init__" for part in parts):
            continue
        yield ".".join(("splitkit", package, *(part for part in parts if part != "__init__")))


def type_name(annotation: Any) -> str:
    """A field's type in a reader's words."""
    if annotation is None or annotation is type(None):
        return "nothing"
    origin = get_origin(annotation)
    if origin in (Union, UnionType):
        return " or ".join(type_name(a) for a in get_args(annotation) if a is not type(None))
    if origin is tuple:
        return f"list of {type_name(get_args(annotation)[0])}"
    if origin is not None and str(origin).endswith("Literal"):
        return ", ".join(f"`{value!r}`" for value in get_args(annotation))
    if origin is not None and hasattr(annotation, "__metadata__"):
        return type_name(get_args(annotation)[0])
    if origin is not None:
        return "table"
    return {"int": "whole number", "float": "number", "str": "text", "bool": "true or false"}.get(
        getattr(annotation, "__name__", ""), getattr(annotation, "__name__", str(annotation))
    )


def default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    return "" if value is None or isinstance(value, BaseModel) or value == {} else f"`{value!r}`"


def table(model: type[BaseModel], leave_out: frozenset[str] = frozenset()) -> str:
    rows = ["| key | type | default |", "| --- | --- | --- |"]
    for name, field in model.model_fields.items():
        if name not in leave_out:
            limits = ", ".join(str(m) for m in field.metadata if type(m).__module__.startswith("annotated_types"))
            kind = type_name(field.annotation) + (f" ({limits})" if limits else "")
            rows.append(f"| `{name}` | {kind} | {default(field)} |")
    return "\n".join(rows)


def sections(model: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel]]]:
    """Fields that are models of their own, or lists of them."""
    for name, field in model.model_fields.items():
        for candidate in (field.annotation, *get_args(field.annotation)):
            if isinstance(candidate, type) and issubclass(candidate, BaseModel):
                yield name, candidate


def config_page() -> str:
    parts = [
        "# splitkit.toml",
        "Written by `splitkit init`. Flags override what stands here; unknown keys are refused.",
    ]
    nested = dict(sections(Project))
    parts.append(table(Project, frozenset(nested) | {"root", "runtimes"}))
    for name, model in nested.items():
        parts += [f"## [{name}]", attributes(model), table(model)]
    return "\n\n".join(parts) + "\n"


def spaces_page() -> str:
    parts = ["# Search spaces", attributes(SearchSpace), table(SearchSpace)]
    for name, model in sections(SearchSpace):
        parts += [f"## {name}", attributes(model), table(model)]
    parts += ["## A commented space to copy", f"```toml\n{space_template().strip()}\n```"]
    return "\n\n".join(parts) + "\n"


def attributes(model: type[BaseModel]) -> str:
    """A profile's docstring, its `Attributes:` as a list."""
    text = (model.__doc__ or "").strip()
    about, _, listed = text.partition("Attributes:")
    lines = [" ".join(line.split()) for line in listed.strip().split("\n")]
    merged: list[str] = []
    for line in lines:
        head = line.split(":")[0]
        starts = line and all(part.strip() in model.model_fields for part in head.split(","))
        if starts or not merged:
            merged.append(line)
        else:
            merged[-1] += f" {line}"
    items = [f"- **{line.partition(':')[0]}**:{line.partition(':')[2]}" for line in merged if line]
    return about.strip() + ("\n\n" + "\n".join(items) if items else "")


def profiles_page() -> str:
    parts = [
        "# Profiles",
        "TOML files that describe hardware. `splitkit profiles` lists those that come with splitkit.",
    ]
    for title, model in (("Devices", DeviceProfile), ("Links", LinkProfile), ("Systems", System)):
        parts += [f"## {title}", attributes(model), table(model)]
        parts += [part for name, inner in sections(model) for part in (f"### {name}", attributes(inner), table(inner))]
    parts.append("## Options of a device, by kind")
    for kind, model in OPTIONS.items():
        parts += [f"### {kind}", attributes(model), table(model)]
        parts += [part for name, inner in sections(model) for part in (f"#### {name}", attributes(inner), table(inner))]
    shipped = ["## Shipped"]
    for kind in ("devices", "links", "systems"):
        names = sorted(file.stem for file in (ROOT / "profiles" / kind).glob("*.toml"))
        shipped.append(f"{kind.capitalize()}: {', '.join(f'`{name}`' for name in names)}.")
    return "\n\n".join(parts + shipped) + "\n"


def commands_page() -> str:
    parts = ["# Commands", "Exit status: 0, 1 (failed) or 2 (usage). `--json` prints the result on stdout."]
    parts += (
        f"::: mkdocs-click\n    :module: splitkit.cli.{name}\n    :command: command\n"
        f"    :prog_name: splitkit {name}\n    :depth: 1\n    :style: table"
        for name in COMMANDS
    )
    return "\n\n".join(parts) + "\n"


def public_names() -> str:
    """Each with its documentation, and the examples that use it."""
    about = (splitkit.__doc__ or "").strip()
    first, _, rest = about.partition("\n\n")
    examples = {file.name: file.read_text() for file in sorted((ROOT / "examples").glob("*.py"))}
    parts = ["# Python", first, rest]
    for name in splitkit.__all__:
        value = splitkit._public(name)
        used = [f"`examples/{file}`" for file, text in examples.items() if re.search(rf"sk\.{name}\b", text)]
        parts += [f"## sk.{name}", f"At work in {', '.join(used)}.", f"::: {value.__module__}.{value.__qualname__}"]
    parts += ["## The examples", *(f"### {file}\n\n```python\n{text}```" for file, text in examples.items())]
    return "\n\n".join(parts) + "\n"


def python_pages() -> None:
    nav = ["* [The public names](index.md)"]
    for package, about in PACKAGES.items():
        page = [f"# splitkit.{package}", f"{about[:1].upper()}{about[1:]}."]
        page += [f"::: {module}" for module in modules_of(package)]
        write(f"reference/python/{package}.md", "\n\n".join(page) + "\n")
        nav.append(f"* [splitkit.{package}]({package}.md)")
    top = [file.stem for file in sorted((ROOT / "splitkit").glob("*.py")) if not file.stem.startswith("_")]
    page = ["# Modules that stand alone", *(f"::: splitkit.{module}" for module in top)]
    write("reference/python/modules.md", "\n\n".join(page) + "\n")
    nav.append("* [splitkit.errors and others](modules.md)")
    write("reference/python/index.md", public_names())
    write("reference/python/SUMMARY.md", "\n".join(nav) + "\n")


write("reference/commands.md", commands_page())
write("reference/config.md", config_page())
write("reference/spaces.md", spaces_page())
write("reference/profiles.md", profiles_page())
python_pages()
