"""Pure: what an HTTP answer of OpenStack means: yes, no, or nothing that can be relied on."""

from __future__ import annotations

import re
from typing import Any

from .errors import CloudRefused, CloudUnreachable

NEVER_CARRIED_OUT_BUT_RETRY = frozenset((408, 413, 425, 429))
_CERTIFICATE = re.compile(r"certificate verify failed: [^('\"]*[^('\" ]")


def member(answer: Any, key: str) -> Any:
    """What an answer holds under a name. Raises CloudUnreachable for one that is none of Nova's."""
    try:
        return answer[key]
    except (KeyError, TypeError):
        raise CloudUnreachable(f"the answer has no {key!r}; is that Nova's address?") from None


def checked(answer: Any, method: str, path: str) -> Any:
    """The answer itself when it is a yes. Raises CloudRefused or CloudUnreachable, with Nova's words and request id."""
    code = answer.status_code
    if 200 <= code < 300:
        return answer
    request_id = answer.headers.get("x-openstack-request-id", "")
    where = f"{method} {path} was answered {code}" + (f" ({request_id})" if request_id else "")
    if 400 <= code < 500 and code not in NEVER_CARRIED_OUT_BUT_RETRY:
        raise CloudRefused(f"{_reason(answer)} [{where}]", code, request_id)
    raise CloudUnreachable(where)


def _reason(answer: Any) -> str:
    try:
        body = next(iter(answer.json().values()))
        if isinstance(body, list):  # Placement's, which says what it means in the last line
            return str(body[0]["detail"]).strip().splitlines()[-1].strip()
        return one_line(body["message"])
    except (ValueError, KeyError, TypeError, AttributeError, StopIteration, IndexError):
        return f"HTTP {answer.status_code}"


def one_line(error: object) -> str:
    """The first line of an error's text; of one that wraps others only what is wrong with a certificate, where that is it: it stands at
    the end, and people see the beginning."""
    certificate = _CERTIFICATE.search(str(error))
    if certificate:
        return certificate.group(0)
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
