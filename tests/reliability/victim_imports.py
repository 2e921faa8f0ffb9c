"""Imported once by the server that victims are forked from."""

from importlib import import_module

from tests.reliability.victim import MODULES

for module in MODULES:
    import_module(module)
