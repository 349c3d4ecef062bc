"""``python -m session_testnet.services.files``: the file server alone."""

import sys

from session_testnet.services.files.standalone import main

sys.exit(main())
