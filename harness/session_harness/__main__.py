"""Run the command line with ``python -m session_harness``."""

from session_harness.cli import main

if __name__ == "__main__":
    main()
