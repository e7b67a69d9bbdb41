"""One request as a trace tells it, and the limits within which a line is believed."""

from __future__ import annotations

import math
from array import array
from typing import NamedTuple

#: The longest context any served LLM documents (Llama 4 Scout) [tokens]; a longer length is a broken line.
LONGEST_TOKENS = 10_000_000
#: Some 317 years; clocks in seconds since 1970 lie well below [s].
LATEST_S = 1e10


class Broken(ValueError):
    """A line that cannot be believed; the text is the reason. The tally counts it, no user sees it as an error."""


class Entry(NamedTuple):
    """One request.

    Attributes
    ----------
    arrival_s: on the trace's own clock [s].
    prompt_tokens, output_tokens: lengths; an output of 0 is a request that failed.
    session: the conversation it belongs to, where the trace says so.
    label: the class, model or type the trace gives it.
    blocks: hashes of the prompt's blocks (n,), each standing for itself and all before it; None where not recorded.
    node, parent: names of the request and of the one whose context it continues, where requests form a graph.
    """

    arrival_s: float
    prompt_tokens: int
    output_tokens: int
    session: int | str | None = None
    label: str | None = None
    blocks: array[int] | None = None
    node: str | None = None
    parent: str | None = None


def believed(arrival_s: float, prompt: int, output: int) -> None:
    """Refuse what no request can be.

    Raises
    ------
    Broken: a negative, infinite or NaN time, a negative or absurd length, an answer to an empty prompt.
    """
    if not 0 <= arrival_s <= LATEST_S:
        raise Broken(f"the timestamp {arrival_s:g} s is not between 0 and {LATEST_S:g} s")
    if not 0 <= prompt <= LONGEST_TOKENS:
        raise Broken(f"a prompt of {_shown(prompt)} tokens is not between 0 and {LONGEST_TOKENS:,}")
    if not 0 <= output <= LONGEST_TOKENS:
        raise Broken(f"an output of {_shown(output)} tokens is not between 0 and {LONGEST_TOKENS:,}")
    if output and not prompt:
        raise Broken(f"an output of {output} tokens to an empty prompt")


def whole(value: object, name: str) -> int:
    """A count, written as a whole number, as digits, or as a float without a fraction.

    >>> whole("374", "prompt"), whole(12.0, "prompt")
    (374, 12)

    Raises
    ------
    Broken
    """
    if type(value) is int:
        return value
    if type(value) is str and value.isdecimal() and len(value) < 19:
        return int(value)
    number = real(value, name)
    if not number.is_integer():
        raise Broken(f"{name} is not a whole number ({_quoted(value)})")
    return int(number)


def real(value: object, name: str) -> float:
    """A finite number, or digits that spell one.

    Raises
    ------
    Broken
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise Broken(f"{name} is not a number ({_quoted(value)})")
    try:
        number = float(value)
    except (ValueError, OverflowError):
        raise Broken(f"{name} is not a number ({_quoted(value)})") from None
    if not math.isfinite(number):
        raise Broken(f"{name} is not finite ({_quoted(value)})")
    return number


def _shown(count: int) -> str:
    """A count that may have thousands of digits."""
    return f"{count:,}" if abs(count) < 10**18 else "more than 10^18"


def _quoted(value: object) -> str:
    return repr(value if isinstance(value, str | float | bool) or value is None else type(value).__name__)[:40]
