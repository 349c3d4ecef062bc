"""The judge: the testee contract, the requirements, the suites and the verdicts."""
