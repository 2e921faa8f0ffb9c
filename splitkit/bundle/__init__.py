"""Bundles: both halves exported, compiled, proved, and read again. Reading imports neither torch nor tvm."""

from splitkit.bundle.bundle import (
    MANIFEST,
    Bundle,
    FileRecord,
    HalfRecord,
    LinkRecord,
    Manifest,
    TensorRecord,
    VerificationRecord,
    half_of,
    hash_file,
    hash_files,
    is_bundle,
    load_bundle,
)

__all__ = [
    "MANIFEST",
    "Bundle",
    "FileRecord",
    "HalfRecord",
    "LinkRecord",
    "Manifest",
    "TensorRecord",
    "VerificationRecord",
    "half_of",
    "hash_file",
    "hash_files",
    "is_bundle",
    "load_bundle",
]
