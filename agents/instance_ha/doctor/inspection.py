"""Nova's door with a window in it: what only a person is told of, the doctor's, is asked here. Nothing is changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..nova import Nova
from ..questions import Question, ask, guarded


class Inspected(Nova):
    """Nova, and whole answers of it."""

    def look(self, path: str, service: str = "compute", microversion: str | None = None) -> Any:
        """The whole answer to a GET, its headers too, of compute, image or placement."""
        adapters = {"compute": self._compute, "image": self._image, "placement": self._placement}
        return ask(Question("GET", path, microversion=microversion), adapters[service])

    def attempt(self, method: str, path: str, body: Mapping[str, Any]) -> None:
        """Ask Nova to change what cannot exist, to see whether it may be asked."""
        ask(Question(method, path, body), self._compute)

    def own_project(self) -> str:
        """The id of the project whose user asks; "" where the credentials have none."""
        return guarded("GET", "/auth/tokens", self._compute.get_project_id) or ""

    def roles(self) -> frozenset[str] | None:
        """The roles of this user, as Keystone's token has them; None where there is no token to ask."""
        session = self._compute.session
        access = getattr(session.auth, "get_access", None)
        self.look("/")   # so that there is a token, and what Keystone says is translated
        if access is None:
            return None
        names = guarded("GET", "/auth/tokens", lambda: [*access(session).role_names])
        return frozenset(name for name in names if isinstance(name, str))
