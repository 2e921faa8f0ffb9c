"""Bundles: both halves exported, compiled, proved, and read again. Reading imports neither torch nor tvm."""

from splitkit.bundle.bundle import MANIFEST, Bundle, half_of, hash_files, load_bundle, part_of, write_manifest
from splitkit.bundle.manifest import (
    FileRecord,
    HalfRecord,
    LinkRecord,
    Manifest,
    TensorRecord,
    VerificationRecord,
)
from splitkit.bundle.origin import Partitioned, Searched

__all__ = [
    "MANIFEST",
    "Bundle",
    "FileRecord",
    "HalfRecord",
    "LinkRecord",
    "Manifest",
    "Partitioned",
    "Searched",
    "TensorRecord",
    "VerificationRecord",
    "half_of",
    "hash_files",
    "load_bundle",
    "part_of",
    "write_manifest",
]
