"""Pure: what an HTTP answer of OpenStack means: yes, no, or nothing that can be relied on."""

from __future__ import annotations

import json
import re
from typing import Any

from .errors import CloudBusy, CloudRefused, CloudUnreachable
from .text import printable, without_password

TOO_MANY = 429
NEVER_CARRIED_OUT_BUT_RETRY = frozenset((408, 413, 425))
MOST_DIGITS = 18           # of a number in an answer
MOST_SAID = 1000           # characters of a sentence of somebody else's
_CERTIFICATE = re.compile(r"certificate verify failed: [^('\"]*[^('\" ]")
_OTHER_NAME = re.compile(r"hostname '[^'\"]*' doesn't match [^\")]*")     # as urllib3 before 2 says it


def member(answer: Any, key: str) -> Any:
    """What an answer holds under a name. Raises CloudUnreachable for one that is none of Nova's."""
    try:
        return answer[key]
    except (KeyError, TypeError):
        raise CloudUnreachable(f"the answer has no {key!r}; is that Nova's address?") from None


def items(answer: Any, key: str) -> list[Any]:
    """The list that an answer holds under a name. Raises CloudUnreachable for one that is none of Nova's."""
    found = member(answer, key)
    if not isinstance(found, list):
        raise CloudUnreachable(f"the answer has no list of {key!r}; is that Nova's address?")
    return found


def json_of(content: bytes) -> Any:
    """The JSON of a body. A number that is too long for any of Nova's is a float, as NaN is, which is odd where a whole one is
    due: Python 3.9 would work for hours on one of a million digits. Raises ValueError, RecursionError."""
    return json.loads(content.decode("utf-8"), parse_int=_integer)


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= MOST_DIGITS else float(digits)


def checked(answer: Any, method: str, path: str) -> Any:
    """The answer itself when it is a yes. Raises CloudRefused, CloudBusy or CloudUnreachable, with Nova's words and request id."""
    code = answer.status_code
    if 200 <= code < 300:
        return answer
    request_id = answer.headers.get("x-openstack-request-id", "")
    where = f"{method} {path} was answered {code}" + (f" ({request_id})" if request_id else "")
    if code == TOO_MANY:
        raise CloudBusy(where)
    if 400 <= code < 500 and code not in NEVER_CARRIED_OUT_BUT_RETRY:
        raise CloudRefused(f"{_reason(answer)} [{where}]", code, request_id)
    raise CloudUnreachable(where)


def _reason(answer: Any) -> str:
    try:
        body = next(iter(json_of(answer.content).values()))
        if isinstance(body, list):  # Placement's, which says what it means in the last line
            return _plain(str(body[0]["detail"]).strip().splitlines()[-1].strip())
        return one_line(body["message"])
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError, StopIteration, IndexError):
        return f"HTTP {answer.status_code}"


def one_line(error: object) -> str:
    """The first line of an error's text; of one that wraps others only what is wrong with a certificate, where that is it: it stands at
    the end, and people see the beginning."""
    certificate = _CERTIFICATE.search(str(error))
    if certificate:
        return printable(certificate.group(0))
    other = _OTHER_NAME.search(str(error))
    if other:
        return f"certificate verify failed: {_plain(other.group(0))}"
    lines = str(error).strip().splitlines()
    return _plain(lines[0]) if lines else type(error).__name__


def _plain(said: str) -> str:
    return without_password(printable(said))[:MOST_SAID]
