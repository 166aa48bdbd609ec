"""``python -m bayesexpr``."""

from bayesexpr.cli import main

main()
