"""The conditions of ``ifelse``: hard fork, version and height (storage-rpc §11.2)."""

from dataclasses import dataclass

from session_testnet.services.storage import fields
from session_testnet.services.storage.fields import Params
from session_testnet.services.storage.results import ParseError

Numbers = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Condition:
    """Bounds that must all hold; a lower one includes its value, an upper one does not."""

    hf_at_least: Numbers | None
    hf_before: Numbers | None
    v_at_least: Numbers | None
    v_before: Numbers | None
    height_at_least: int | None
    height_before: int | None

    def holds(self, hardfork: Numbers, version: Numbers, height: int) -> bool:
        """Tell whether the node is within all bounds."""
        return all(
            (
                self.hf_at_least is None or hardfork >= self.hf_at_least,
                self.hf_before is None or hardfork < self.hf_before,
                self.v_at_least is None or version >= self.v_at_least,
                self.v_before is None or version < self.v_before,
                self.height_at_least is None or height >= self.height_at_least,
                self.height_before is None or height < self.height_before,
            )
        )


def parse_condition(params: Params) -> Condition:
    """Read the object ``if``; raise ParseError for wrong types or no condition at all."""
    condition = Condition(
        height_at_least=fields.integer(params, "height_at_least"),
        height_before=fields.integer(params, "height_before"),
        hf_at_least=_numbers(params, "hf_at_least", 2),
        hf_before=_numbers(params, "hf_before", 2),
        v_at_least=_numbers(params, "v_at_least", 3),
        v_before=_numbers(params, "v_before", 3),
    )
    if condition == Condition(None, None, None, None, None, None):
        raise ParseError('Invalid ifelse request: must specify at least one "if" condition')
    return condition


def _numbers(params: Params, name: str, count: int) -> Numbers | None:
    """Read a list of numbers, cut or filled with zeros to a length; an empty one counts as absent."""
    given = fields.integers(params, name)
    return (given + (0,) * count)[:count] if given else None
