"""Nova's door with a window in it: what only a person is told of, the doctor's, is asked here. Nothing is changed."""

from __future__ import annotations

from typing import Any

from ..nova import Nova
from ..questions import Question, ask


class Inspected(Nova):
    """Nova, and whole answers of it."""

    def look(self, path: str, service: str = "compute") -> Any:
        """The whole answer to a GET, its headers too, of compute, image or placement."""
        adapters = {"compute": self._compute, "image": self._image, "placement": self._placement}
        return ask(Question("GET", path), adapters[service])

    def roles(self) -> frozenset[str] | None:
        """The roles of this user, as Keystone's token has them; None where there is no token to ask."""
        access = getattr(self._compute.session.auth, "get_access", None)
        self.look("/")   # so that there is a token, and what Keystone says is translated
        return frozenset(access(self._compute.session).role_names) if access else None
