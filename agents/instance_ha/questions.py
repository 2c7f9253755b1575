"""One request to OpenStack: sent once if it changes something, and everything that can go wrong translated."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .answers import checked, json_of, one_line
from .errors import CloudBusy, CloudError, CloudRefused, CloudUnreachable, OverLimit
from .pace import Pace

READ_TRIES = 3
QUICK = 1.0                       # seconds
UNTOLD = 30.0                     # seconds for which what gave no answer is not asked again
LATE, MANY_UNTOLD = 2, 4
BUSY_TRIES = 5                    # of a read that is answered "too many", each at its turn
LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Question:
    """One request. `body` is sent as JSON, `query` behind the path; `microversion` is where it is not the pinned one."""

    method: str
    path: str
    body: Any = None
    query: Mapping[str, str] | None = None
    microversion: str | None = None


class Untold:
    """What gave no answer is not asked again for a while: many questions, one after the other, would each take as long, and all
    hosts wait for that. Nor is anything else asked, once LATE of them took long, or MANY_UNTOLD gave none."""

    def __init__(self) -> None:
        self._left: dict[str, tuple[float, bool, str]] = {}   # until when, whether it took long, and what was said

    @contextlib.contextmanager
    def asked(self, key: str) -> Iterator[None]:
        """Ask of `key` inside. Raises CloudUnreachable, while it is left alone too."""
        began = time.monotonic()
        for old in [old for old, (until, _, _) in self._left.items() if until <= began]:
            del self._left[old]
        late = sum(1 for _, long, _ in self._left.values() if long)
        if key in self._left or late >= LATE or len(self._left) >= MANY_UNTOLD:
            raise CloudUnreachable(self._left.get(key, next(iter(self._left.values())))[2])
        try:
            yield
        except CloudUnreachable as error:
            now = time.monotonic()
            self._left[key] = (now + UNTOLD, now - began > QUICK, str(error))
            raise


def ask_json(question: Question, adapter: Any, pace: Pace | None = None, busy: int = BUSY_TRIES) -> Any:
    """Return the answer's JSON. What only reads is asked again at once when a bad answer came quickly, and at its turn while there
    are too many, `busy` times in all; what changes something never is. Raises CloudUnreachable, CloudBusy, CloudRefused."""
    pace, reads = pace or Pace(), question.method == "GET"
    tries, busy = (READ_TRIES, busy) if reads else (1, 1)
    while True:
        began = time.monotonic()
        try:
            return _once(question, adapter, pace)
        except CloudBusy:
            busy -= 1
            if not busy:
                raise
        except CloudUnreachable as error:
            tries -= 1
            if not tries or isinstance(error, OverLimit) or time.monotonic() - began > QUICK:
                raise


def _once(question: Question, adapter: Any, pace: Pace) -> Any:
    answer = ask(question, adapter, pace)
    try:
        return json_of(answer.content)
    except (ValueError, RecursionError):
        raise CloudUnreachable(f"{question.method} {question.path} was answered with what is no JSON; is that Nova's address?") from None


def ask(question: Question, adapter: Any, pace: Pace | None = None) -> Any:
    """Return the answer through a keystoneauth1 adapter. Raises CloudUnreachable, CloudBusy, CloudRefused."""
    method, path = question.method, question.path
    options: dict[str, Any] = {"raise_exc": False, **({"microversion": question.microversion} if question.microversion else {})}
    if question.body is not None:
        options["json"] = question.body
    if question.query:
        options["params"] = question.query

    def send() -> Any:
        answer = adapter.request(path, method, **options)
        if answer.status_code == 401:
            # The token ran out while several asked at once: keystoneauth gets a new one for the first of them only. Nothing was carried out.
            answer = adapter.request(path, method, **options)
        return answer

    pace = pace or Pace()
    turn = pace.wait()
    answer = guarded(method, path, send)
    pace.look(turn, answer.status_code, answer.headers)
    LOG.debug("%s %s %s %s", method, path, answer.status_code, answer.headers.get("x-openstack-request-id", ""))
    return checked(answer, method, path)


def guarded(method: str, path: str, send: Callable[[], Any]) -> Any:
    """Send, and translate what keystoneauth raises. Raises CloudUnreachable, CloudRefused."""
    from keystoneauth1 import exceptions as ka

    try:
        return send()
    except CloudError:                 # one of our own limits: it says itself what happened
        raise
    except (ka.Unauthorized, ka.AuthorizationFailure, ka.MissingRequiredOptions) as error:
        raise CloudRefused(f"Keystone refused the credentials: {one_line(error)}", 401) from None
    except (ka.CatalogException, ka.VersionNotAvailable) as error:
        raise CloudRefused(f"Nova was not found in Keystone's catalog: {one_line(error)}", 404) from None
    except (ka.ClientException, OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError) as error:
        raise CloudUnreachable(f"no answer from OpenStack for {method} {path}: {one_line(error)}") from None
