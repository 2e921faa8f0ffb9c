"""Which processor this is, in a form that is equal exactly where timings may be compared."""

import hashlib
import platform
from functools import cache
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")

MODEL_FIELDS = ("model name", "cpu family", "model", "stepping", "CPU implementer", "CPU part", "CPU revision")
FEATURE_FIELDS = ("flags", "Features")


@cache
def cpu_description() -> str:
    """Model and a hash of the instruction set features: `AMD EPYC 25/17/1 features 1a2b3c4d`."""
    fields = _first_processor(CPUINFO.read_text()) if CPUINFO.exists() else {}
    model = [fields[name] for name in MODEL_FIELDS if name in fields]
    features = " ".join(sorted(" ".join(fields.get(name, "") for name in FEATURE_FIELDS).split()))
    digest = hashlib.sha256(features.encode()).hexdigest()[:8]
    name = " ".join((model[:1] or [platform.processor() or platform.machine()]) + ["/".join(model[1:])])
    return f"{name.strip()} features {digest}"


def _first_processor(text: str) -> dict[str, str]:
    block = text.split("\n\n", 1)[0]
    pairs = (line.split(":", 1) for line in block.splitlines() if ":" in line)
    return {name.strip(): value.strip() for name, value in pairs}
