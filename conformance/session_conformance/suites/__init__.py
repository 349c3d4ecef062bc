"""The suites: what every implementation must do, as pytest modules by subject.

Each check names the requirement that it judges. A check sees the implementation only through the testee
contract.
"""
