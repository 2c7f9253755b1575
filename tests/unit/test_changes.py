"""The commands of pcs and crmsh, as both were seen to take them (pcs 0.11.5, crmsh 4.4.0)."""

from __future__ import annotations

import shlex

import pytest
from instance_ha.configuration import ATTRIBUTE, PATTERN, Level
from instance_ha.configuring.changes import Ban, Change, Create, Delete, SetAttribute, SetDefaults, SetLevels, SetProperties, Update

MONITOR = {"monitor": {"interval": "60s", "timeout": "30s", "on-fail": "ignore"}}
LEVELS = SetLevels([Level(1, ("a", "b"), "cmp-1")], [Level(1, ("a", "b", "n"), "cmp-1"), Level(2, ("c", "n"), "cmp-1")],
                   [Level(1, ("d",), "ctl-.*", PATTERN), Level(1, ("e",), "rack=1", ATTRIBUTE), Level(1, ("f",), "ctl-1")])


@pytest.mark.parametrize(("change", "pcs", "crm"), [
    (Create("nova", "stonith:fence_nova", {"cloud": "c", "pcmk_host_list": "a b"}, {"monitor": {"interval": "60s"}}, {"provides": "unfencing"}),
     ["pcs stonith create nova fence_nova cloud=c 'pcmk_host_list=a b' op monitor interval=60s meta provides=unfencing"],
     ["crm -F configure primitive nova stonith:fence_nova params cloud=c 'pcmk_host_list=a b' op monitor interval=60s meta provides=unfencing"]),
    (Create("nova-compute", "systemd:nova-compute", {}, {"start": {"timeout": "120s"}}, {}, {"interleave": "true"}, True),
     ["pcs resource create nova-compute systemd:nova-compute op start timeout=120s clone interleave=true --force"],
     ["crm -F configure primitive nova-compute systemd:nova-compute op start timeout=120s",
      "crm -F configure clone nova-compute-clone nova-compute meta interleave=true"]),
    (Update("fence-nova", True, {"let_in": "", "cloud": "c"}, MONITOR, {"provides": "unfencing"}, {"monitor": {"interval": "60s"}}),
     ["pcs stonith update fence-nova let_in= cloud=c op monitor interval=60s timeout=30s on-fail=ignore meta provides=unfencing"],
     ["crm resource param fence-nova delete let_in", "crm resource param fence-nova set cloud c",
      "crm -F configure set fence-nova.monitor.timeout 30s",
      "crm -F configure set fence-nova.monitor.on-fail ignore", "crm resource meta fence-nova set provides unfencing"]),
    (Update("fence-nova", True, operations=MONITOR),
     ["pcs stonith update fence-nova op monitor interval=60s timeout=30s on-fail=ignore"],
     ["crm -F configure monitor fence-nova 60s:30s", "crm -F configure set fence-nova.monitor.on-fail ignore"]),
    (Update("nova-compute", False, meta={"requires": "unfencing"}),
     ["pcs resource meta nova-compute requires=unfencing"], ["crm resource meta nova-compute set requires unfencing"]),
    (Delete("fence-nova", True), ["pcs stonith delete fence-nova"], ["crm -F configure delete fence-nova"]),
    (Delete("wait", False), ["pcs resource delete wait"], ["crm -F configure delete wait"]),
    (SetAttribute("cmp-1", "osprole", "compute"), ["pcs node attribute cmp-1 osprole=compute"], ["crm node attribute cmp-1 set osprole compute"]),
    (SetProperties({"a": "1", "b": "2"}), ["pcs property set a=1 b=2"], ["crm -F configure property a=1 b=2"]),
    (SetDefaults({"a": "1"}), ["pcs resource defaults update a=1"], ["crm -F configure rsc_defaults a=1"]),
    (SetDefaults({"a": "1"}, "x"), ["pcs resource defaults set update x meta a=1"],
     ["crm -F configure rsc_defaults a=1"]),
    (SetDefaults({"a": "1"}, None), ["pcs resource defaults set create meta a=1"],
     ["crm -F configure rsc_defaults a=1"]),
    (Ban("n-place", "n", ["osprole", "eq", "compute"]),
     ["pcs constraint location n rule resource-discovery=never score=-INFINITY osprole eq compute"],
     ["crm -F configure location n-place n resource-discovery=never rule -inf: osprole eq compute"]),
    (Ban("n-place", "n", ["not_defined", "osprole"], discovery=True),
     ["pcs constraint location n rule score=-INFINITY not_defined osprole"], ["crm -F configure location n-place n rule -inf: not_defined osprole"]),
    (Ban("c-held", "c", ["a-held", "eq", "true"], True, "-10000"),
     ["pcs constraint location c rule score=-10000 a-held eq true"], ["crm -F configure location c-held c rule -10000: a-held eq true"]),
    (LEVELS,
     ["pcs stonith level delete 1 target cmp-1", "pcs stonith level add 1 cmp-1 a b n", "pcs stonith level add 2 cmp-1 c n"],
     ["crm -F configure delete fencing_topology",
      "crm -F configure fencing_topology 'pattern:ctl-.*' d attr:rack=1 e ctl-1: f cmp-1: a,b,n c,n"]),
    (SetLevels([], [Level(1, ("a", "n"), "cmp-1")]), ["pcs stonith level add 1 cmp-1 a n"], ["crm -F configure fencing_topology cmp-1: a,n"]),
    # pcs 0.11 says of a device of a template that it does not exist.
    (SetLevels([], [Level(1, ("a", "n"), "cmp-1")], forced=("--force",)),
     ["pcs stonith level add 1 cmp-1 a n --force"], ["crm -F configure fencing_topology cmp-1: a,n"]),
])
def test_each_change_in_both_tongues(change: Change, pcs: list[str], crm: list[str]) -> None:
    assert [shlex.join(words) for words in change.pcs()] == pcs
    assert [shlex.join(words) for words in change.crm()] == crm
