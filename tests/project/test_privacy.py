from pathlib import Path

import pytest

from splitkit.errors import BundleError
from splitkit.project.config import DataSection, Project
from splitkit.project.steps.privacy import privacy_step
from tests.bundle.bundles import exported


def project(root: Path) -> Project:
    return Project(space="tiny", system="demo", data=DataSection(source="digits", search_images=64), root=root)


def test_a_link_is_judged_beside_jpeg_of_its_size(tmp_path: Path) -> None:
    bundle = exported(2, "uint8")
    said: list[str] = []
    link, near, good = privacy_step(project(tmp_path), bundle, said.append, steps=30)
    assert link.payload_bytes == bundle.link.payload_bytes
    assert link.sent.startswith("link, uint8 [1, ")
    assert 5 < link.psnr_db < 40
    assert 0 < link.ssim < 1
    assert near.sent.startswith("JPEG, nearest in size, quality ")
    assert good.sent == "JPEG, quality 90"
    assert good.payload_bytes > near.payload_bytes
    assert good.ssim > near.ssim
    assert good.psnr_db > 30, "what JPEG of good quality is known for"
    assert any("decoder" in text for text in said)


def test_scores_are_a_link_too(tmp_path: Path) -> None:
    found = privacy_step(project(tmp_path), exported(-1, "float32"), steps=5)
    assert found[0].sent == "link, float32 [1, 10]"


def test_an_image_sent_as_it_is_has_nothing_to_hide(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="its sensor sends the image as it is"):
        privacy_step(project(tmp_path), exported(0, "float32"))
