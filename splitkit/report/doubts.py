"""What should make a reader doubt a search's figures, one line each."""

from splitkit.search import SearchResult

COARSE = 0.01
"""Accuracy that one image of the search slice may be worth before a ranking rests on single images."""


def doubts(result: SearchResult, classes: int) -> list[str]:
    """Warnings: a search slice too small to rank, points no better than guessing among so many classes."""
    found = []
    images = result.scored_on
    if images is not None and images * COARSE < 1:
        found.append(
            f"the search slice has {images} images, one of them is {1 / images:.1%} of accuracy: too few to rank "
            "networks by; add training images, or raise [data] search_images"
        )
    guessing = [i for i, point in enumerate(result.points) if point.accuracy <= 1 / classes]
    if guessing:
        some = ", ".join(str(i) for i in guessing[:5]) + (" ..." if len(guessing) > 5 else "")
        found.append(
            f"{len(guessing)} of {len(result.points)} points are no better than guessing one of {classes} classes "
            f"({1 / classes:.1%}): {some}; train for longer"
        )
    return found
