"""How much to choose: documents, a share of the pool, or tokens."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from gotd.errors import SettingsError

Unit = Literal["docs", "%", "tokens"]
# A comma parts thousands only: 0,5% is half a per cent to many who write it, and is refused.
AMOUNT = r"((?:[1-9][0-9]{0,2}(?:,[0-9]{3})+|[0-9][0-9_]*)(?:\.[0-9]+)?)"
_PATTERN = re.compile(rf"\s*{AMOUNT}\s*(docs?|documents?|%|tokens?)\s*")
BYTES_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class Budget:
    """What a selection may hold.

    Attributes:
        amount: documents, per cent of the pool's documents, or tokens; > 0.
        unit: which of the three.
    """

    amount: float
    unit: Unit

    @classmethod
    def parse(cls, text: str | int) -> Budget:
        """`5000docs`, `5%` or `2000000tokens`; a bare number is documents.

        Raises:
            SettingsError: anything else, or an amount that is not above zero.
        """
        found = _PATTERN.fullmatch(f"{text}docs" if str(text).isdigit() else str(text))
        if found is None:
            raise SettingsError(f'budget is "{text}"; wanted 5000docs, 5% or 2000000tokens')
        amount = float(found[1].replace("_", "").replace(",", ""))
        unit: Unit = "%" if found[2] == "%" else "tokens" if found[2].startswith("token") else "docs"
        if not amount > 0 or (unit == "%" and amount > 100):
            raise SettingsError(f'budget is "{text}"; wanted more than nothing, and at most 100 %')
        if unit != "%" and amount != int(amount):
            raise SettingsError(f'budget is "{text}"; wanted a whole number of {unit}')
        return cls(amount, unit)

    def documents(self, pool: int) -> int | None:
        """The budget in documents for a pool of so many; None for a token budget."""
        if self.unit == "tokens":
            return None
        return int(self.amount) if self.unit == "docs" else max(1, round(pool * self.amount / 100))

    def __str__(self) -> str:
        return f"{self.amount:g}%" if self.unit == "%" else f"{self.amount:.0f}{self.unit}"


def estimated_tokens(text: str) -> int:
    """Tokens of a text, estimated at four bytes of UTF-8 each, rounded up."""
    size = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    return -(-size // BYTES_PER_TOKEN)
