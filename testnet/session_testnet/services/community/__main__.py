"""Run a community server alone: ``python -m session_testnet.services.community``."""

import sys

from session_testnet.services.community.standalone import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
