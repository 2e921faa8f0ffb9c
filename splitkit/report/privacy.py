"""How much of the image something gives away that could be sent."""

from dataclasses import dataclass


@dataclass(frozen=True)
class PrivacyRow:
    """Something that could be sent, and how alike the image is that can be drawn from it; means over pictures.

    Attributes:
        payload_bytes: of one view and frame.
        psnr_db: peak signal-to-noise ratio, in dB.
        ssim: structural similarity, 1 where they are equal.
    """

    sent: str
    payload_bytes: float
    psnr_db: float
    ssim: float
