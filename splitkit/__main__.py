"""`python -m splitkit` is `splitkit`."""

from splitkit.cli.main import main

main()
