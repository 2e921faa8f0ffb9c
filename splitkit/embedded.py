"""Data sets that need no files, by the words that stand for them."""

EMBEDDED = ("digits", "shapes3d")
