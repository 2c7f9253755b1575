"""How often OpenStack is asked where it limits requests: it says 429, and in Retry-After when to come again."""

from __future__ import annotations

import email.utils
import threading
import time
from collections.abc import Callable, Mapping
from datetime import timezone

from .http_limits import PENDING

TOO_MANY, UNAVAILABLE = 429, 503
FIRST = 0.2       # seconds between two requests after the first "too many"; doubled by each later one
LONGEST = 5.0     # of the pause, whatever an answer says; a thread waits as often as others are before it
FASTER = 0.9      # what an answer leaves of the pause
NONE = 0.02       # a pause below this is none


class Pace:
    """The pause between two requests to one service. All threads wait for their turns in the order in which they came.

    Each "too many" doubles the pause, each answer takes a tenth of it off, so that it settles at what
    is allowed. `clock` is monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep) -> None:
        self._clock, self._sleep = clock, sleep
        self._lock = threading.Lock()
        self._pause = 0.0
        self._next = self._slowed = float("-inf")   # when the next may go out, and when the pause was last doubled
        self._held = threading.local()

    @property
    def pause(self) -> float:
        """Return the seconds between two requests, 0 where nothing limits them."""
        return self._pause

    def take(self) -> None:
        """Wait for this thread's turn now, for the request that it sends next."""
        self._held.turn = self._turn()

    def wait(self) -> float:
        """Wait for this thread's turn, unless it has one. Returns when that was."""
        turn = getattr(self._held, "turn", None)
        self._held.turn = None
        return self._turn() if turn is None else turn

    def _turn(self) -> float:
        with self._lock:
            now = self._clock()
            turn = max(now, self._next)
            if self._pause or turn > now:
                self._next = turn + self._pause
        if turn > now:
            key = PENDING.begin("its turn: OpenStack limits how often it may be asked")
            try:
                self._sleep(turn - now)
            finally:
                PENDING.end(key)
        return turn

    def look(self, turn: float, code: int, headers: Mapping[str, str]) -> None:
        """Learn from the answer to the request of that turn."""
        seconds = seconds_of(headers.get("Retry-After"))
        with self._lock:
            if code == TOO_MANY or (code == UNAVAILABLE and seconds is not None):
                now = self._clock()
                if turn >= self._slowed:              # those who had asked already say the same once more
                    self._pause, self._slowed = min(LONGEST, max(FIRST, 2 * self._pause)), now
                self._next = max(self._next, now + min(LONGEST, seconds or 0.0))
            else:
                self._pause = 0.0 if self._pause * FASTER < NONE else self._pause * FASTER


def seconds_of(text: str | None) -> float | None:
    """Return the seconds that a Retry-After asks for, which may be a number or a date; None for none that can be read."""
    text = (text or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        when = email.utils.parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    when = when if when.tzinfo else when.replace(tzinfo=timezone.utc)
    return max(0.0, when.timestamp() - time.time())
