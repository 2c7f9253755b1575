"""A Keystone, a Nova, a Glance and a Placement in one, over HTTP, whose answers have the shape of the real ones."""

from __future__ import annotations

import time
from email.utils import formatdate
from typing import Any
from urllib.parse import urlsplit

from tests.unit.little_nova import LittleNova

PASSWORD = "s3cret-of-the-test"
# As a real Keystone 30 and Nova 34 answered.
UNAUTHORIZED = {"error": {"code": 401, "message": "The request you have made requires authentication.", "title": "Unauthorized"}}
TOO_NEW = {"computeFault": {"code": 406, "message": "Version 2.73 is not supported by the API. Minimum is 2.1 and maximum is 2.60."}}
IMAGE_DOWN = {"error": {"message": "Service Unavailable", "code": 503}}


def stamp(seconds: float) -> str:
    """Nova's time stamp of so many seconds from now."""
    return time.strftime("%Y-%m-%dT%H:%M:%S.000000", time.gmtime(time.time() + seconds))


def forbidden(policy: str) -> dict[str, Any]:
    return {"forbidden": {"code": 403, "message": f"Policy doesn't allow {policy} to be performed."}}


class LittleCloud(LittleNova):
    """`roles` are those of the user in its token; `images` are Glance's, by id; `refused` what is answered with an error, by the
    beginning of the path; `ahead` the seconds by which its clock is ahead."""

    def __init__(self) -> None:
        super().__init__(("cmp-1", "cmp-2"))
        for service in self.services:
            service["updated_at"] = stamp(-1)
        self.ahead = 0.0
        self.roles = ["admin", "member", "reader"]
        self.images: dict[str, dict[str, Any]] = {}
        self.refused: dict[str, tuple[int, Any]] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, method: str, path: str, body: Any, request: str) -> tuple[int, Any]:
        self.headers = {"X-Subject-Token": "token", "Date": formatdate(time.time() + self.ahead, usegmt=True)}
        url = urlsplit(path)
        refused = next((answer for begin, answer in self.refused.items() if url.path.startswith(begin)), None)
        if refused:
            return refused
        if url.path == "/v3/auth/tokens":
            password = body["auth"]["identity"]["password"]["user"]["password"]
            return (201, {"token": self._token()}) if password == PASSWORD else (401, UNAUTHORIZED)
        if url.path.startswith("/v3"):
            return 200, {"version": {"id": "v3.14", "status": "stable", "links": [{"rel": "self", "href": f"{self.url}/v3/"}]}}
        if url.path == "/":
            return 200, {"version": {"id": "v2.1", "status": "CURRENT", "version": "2.104", "min_version": "2.1"}}
        if url.path.startswith("/v2/images/"):
            image = self.images.get(url.path.rpartition("/")[2])
            return (200, image) if image else (404, {"message": "No image found"})
        if url.path in ("/allocation_candidates", "/os-hypervisors/detail"):
            return 200, {"allocation_requests": [], "provider_summaries": {}, "hypervisors": []}
        return super().answer(method, path, body, request)

    def _token(self) -> dict[str, Any]:
        catalog = [{"type": kind, "name": kind, "id": kind, "endpoints": [
            {"id": kind, "interface": interface, "region": "RegionOne", "region_id": "RegionOne", "url": self.url}
            for interface in ("internal", "public")]} for kind in ("compute", "image", "placement")]
        domain = {"id": "default", "name": "Default"}
        return {"methods": ["password"], "user": {"id": "u", "name": "instance-ha", "domain": domain}, "is_domain": False, "audit_ids": ["a"],
                "project": {"id": "p", "name": "service", "domain": domain}, "roles": [{"id": role, "name": role} for role in self.roles],
                "issued_at": "2026-11-25T04:00:00.000000Z", "expires_at": "2099-01-01T00:00:00.000000Z", "catalog": catalog}
