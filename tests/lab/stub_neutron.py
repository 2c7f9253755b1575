"""A stand-in for Neutron: one shared network NETWORK with one subnet, and whatever ports are asked for."""

from __future__ import annotations

import itertools
import uuid
from typing import Any

from tests.lab.common import LIBVIRT, virt

NETWORK = "11111111-0000-4000-8000-000000000001"
SUBNET = "11111111-0000-4000-8000-000000000002"
GROUP = "11111111-0000-4000-8000-000000000003"
UNFILTERED = {"fields", "limit", "marker", "sort_key", "sort_dir", "page_reverse"}

Thing = dict[str, Any]
NOT_FOUND = (404, {"NeutronError": {"type": "NotFound", "message": "not found", "detail": ""}})


def _singular(plural: str) -> str:
    return {"security-groups": "security_group", "floatingips": "floatingip"}.get(plural, plural[:-1].replace("-", "_"))


class Neutron:
    """Called with method, path parts, query and body; see stubs.handler."""

    def __init__(self) -> None:
        network = {
            "id": NETWORK, "name": "lab", "status": "ACTIVE", "subnets": [SUBNET], "shared": True, "admin_state_up": True, "mtu": 1450,
            "tenant_id": "lab", "project_id": "lab", "router:external": False, "port_security_enabled": True,
            "provider:network_type": "vxlan", "provider:physical_network": None,
        }
        subnet = {
            "id": SUBNET, "name": "lab", "network_id": NETWORK, "cidr": "198.18.0.0/16", "ip_version": 4, "gateway_ip": "198.18.0.1",
            "enable_dhcp": False, "dns_nameservers": [], "host_routes": [], "allocation_pools": [], "tenant_id": "lab",
        }
        group = {"id": GROUP, "name": "default", "description": "", "security_group_rules": []}
        self.things: dict[str, dict[str, Thing]] = {
            "networks": {NETWORK: network}, "subnets": {SUBNET: subnet}, "security-groups": {GROUP: group}, "ports": {},
        }
        self.bindings: dict[str, dict[str, Thing]] = {}  # port -> host -> binding
        self.numbers = itertools.count(2)
        # Real guests: a tap device with nothing behind it, which asks for no switch.
        self.vif = "tap" if virt() == LIBVIRT else "ovs"

    def __call__(self, method: str, path: list[str], query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        if not path:
            return 200, {"versions": [{"id": "v2.0", "status": "CURRENT", "links": []}]}
        words = path[1:]
        if not words:
            return 200, {"resources": []}
        if words[0] == "extensions":
            aliases = ("binding", "binding-extended", "quotas", "port-security", "security-group")
            return 200, {"extensions": [{"alias": alias, "name": alias, "description": ""} for alias in aliases]}
        if words[0] == "quotas":
            return 200, {"quota": {"port": -1, "network": -1, "floatingip": -1, "security_group": -1, "security_group_rule": -1}}
        if words[0] == "ports" and len(words) > 2 and words[2] == "bindings":
            return self._binding(method, words[1], words[3:], body)
        return self._thing(method, words[0], words[1:], query, body)

    def _thing(self, method: str, plural: str, rest: list[str], query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        things, key = self.things.setdefault(plural, {}), _singular(plural)
        if not rest:
            if method == "POST":
                made = self._make(plural, body[key])
                return 201, {key: made}
            return 200, {plural.replace("-", "_"): [t for t in things.values() if self._matches(t, query)]}
        if rest[0] not in things:
            return NOT_FOUND
        if method == "DELETE":
            del things[rest[0]]
            self.bindings.pop(rest[0], None)
            return 204, None
        if method == "PUT":
            self._update(plural, things[rest[0]], body[key])
        return 200, {key: things[rest[0]]}

    def _matches(self, thing: Thing, query: dict[str, list[str]]) -> bool:
        for key, values in query.items():
            if key in UNFILTERED or key not in thing:
                continue
            if str(thing[key]).lower() not in [value.lower() for value in values]:
                return False
        return True

    def _make(self, plural: str, fields: Thing) -> Thing:
        made: Thing = {"id": str(uuid.uuid4()), "name": "", "status": "ACTIVE", "tenant_id": "lab"}
        if plural == "ports":
            number = next(self.numbers)
            high, low = divmod(number, 250)
            made |= {
                "network_id": NETWORK, "mac_address": f"fa:16:3e:77:{high:02x}:{low:02x}", "admin_state_up": True, "device_id": "",
                "device_owner": "", "security_groups": [GROUP],
                "fixed_ips": [{"subnet_id": SUBNET, "ip_address": f"198.18.{high}.{low + 2}"}],
                "binding:vnic_type": "normal", "binding:profile": {}, "binding:vif_details": {}, "binding:vif_type": "unbound",
                "binding:host_id": "", "port_security_enabled": True, "allowed_address_pairs": [], "resource_request": None,
            }
        self.things[plural][made["id"]] = made
        self._update(plural, made, fields)
        return made

    def _update(self, plural: str, thing: Thing, fields: Thing) -> None:
        thing |= {key: value for key, value in fields.items() if value is not None or key not in thing}
        if plural == "ports":
            thing["binding:vif_type"] = self.vif if thing["binding:host_id"] else "unbound"

    def _binding(self, method: str, port: str, rest: list[str], body: Any) -> tuple[int, Any]:
        if port not in self.things["ports"]:
            return NOT_FOUND
        bindings = self.bindings.setdefault(port, {})
        if method == "POST":
            host = body["binding"]["host"]
            made = {"vnic_type": "normal", "profile": {}, "vif_type": self.vif, "vif_details": {}, "status": "INACTIVE"}
            bindings[host] = {"host": host, **made}
            return 201, {"binding": bindings[host]}
        if not rest:
            return 200, {"bindings": list(bindings.values())}
        if rest[0] not in bindings:
            return NOT_FOUND
        if method == "DELETE":
            del bindings[rest[0]]
            return 204, None
        if method == "PUT" and rest[1:] == ["activate"]:
            bindings[rest[0]]["status"] = "ACTIVE"
            self._update("ports", self.things["ports"][port], {"binding:host_id": rest[0]})
        return 200, {"binding": bindings[rest[0]]}
