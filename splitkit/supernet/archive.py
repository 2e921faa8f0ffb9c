"""What `torch.save` wrote, looked over before torch reads it.

`torch.load(weights_only=True)` runs no foreign code, but it unpacks what is compressed and makes whatever of some
hundred types a file names. A checkpoint of ours has plain values and dense tensors, each stored once, so that what
reading it costs is bounded by its size.
"""

import pickletools
import zipfile
from pathlib import Path

LARGEST_PICKLE = 1 << 25
"""Bytes of everything but the tensors' elements; a checkpoint of `mobile` has 2 MB of it."""

_GLOBALS = {"torch._utils _rebuild_tensor_v2", "collections OrderedDict"}
_STORAGES = {f"torch {kind}Storage" for kind in ("Float", "Double", "Half", "BFloat16", "Long", "Int", "Bool", "Byte")}


class ArchiveError(ValueError):
    """The file is not an archive as `torch.save` writes it."""


def screen(path: Path) -> None:
    """Refuse a file that is not an uncompressed archive of plain values and dense tensors.

    Raises:
        ArchiveError: what it holds instead.
        Exception: what `zipfile` and `pickletools` raise on damaged files.
    """
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            raise ArchiveError("its members are compressed")
        # Members that overlap would come out larger than the file.
        if sum(member.file_size for member in members) > path.stat().st_size:
            raise ArchiveError("its members are larger than the file")
        if len({member.filename for member in members}) != len(members):
            raise ArchiveError("it has two members of one name")
        pickles = [member for member in members if member.filename.endswith(".pkl")]
        if len(pickles) != 1 or not pickles[0].filename.endswith("/data.pkl"):
            raise ArchiveError("it has no data.pkl, or more than that")
        if pickles[0].file_size > LARGEST_PICKLE:
            raise ArchiveError(f"data.pkl is larger than {LARGEST_PICKLE} bytes")
        for operation, argument, _ in pickletools.genops(archive.read(pickles[0])):
            named = operation.name in ("GLOBAL", "INST", "STACK_GLOBAL")
            if named and argument not in _GLOBALS | _STORAGES:
                raise ArchiveError(f"it names {argument}")
