"""splitkit: networks searched, split, compiled and deployed across camera sensors and an aggregator."""

__version__ = "0.1.0"
