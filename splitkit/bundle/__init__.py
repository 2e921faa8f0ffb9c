"""Bundles: both halves exported, compiled, proved, and read again. Reading imports neither torch nor tvm."""

from splitkit.bundle.bundle import (
    MANIFEST,
    SIDES,
    Bundle,
    FileRecord,
    HalfRecord,
    LinkRecord,
    Manifest,
    TensorRecord,
    VerificationRecord,
    half_of,
    hash_files,
    load_bundle,
    write_manifest,
)

__all__ = [
    "MANIFEST",
    "SIDES",
    "Bundle",
    "FileRecord",
    "HalfRecord",
    "LinkRecord",
    "Manifest",
    "TensorRecord",
    "VerificationRecord",
    "half_of",
    "hash_files",
    "load_bundle",
    "write_manifest",
]
