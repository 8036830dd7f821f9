"""`python -m servable` is `servable`."""

from servable.cli import main

main()
