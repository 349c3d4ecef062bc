"""Run the reference testee over stdin and stdout."""

import sys

from session_conformance.testees.reference.testee import ReferenceTestee

sys.exit(ReferenceTestee().serve())
