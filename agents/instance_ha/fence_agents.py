"""Pure: what each fence agent does to a host, and whether that proves that the guests have stopped.

The one list of it: the worker's proof, the doctor and configure all ask here. An agent that is not
in it is trusted, since sites write their own, and the doctor names it.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from .model import RECORDERS

IMPLICIT_WATCHDOG = "watchdog"    # a device that Pacemaker has without any resource of that name


class Effect(Enum):
    """What an agent does, and for those that prove nothing, why its success is not enough."""

    POWER = "cuts or resets the power, of a machine or of a virtual one"
    WATCHDOG = "has the host's own watchdog reset it"
    CRASH = "hears from the crash kernel of the host, whose guests are gone by then"
    PERSON = "waits for a person who says that the host is off"
    UNKNOWN = "is not known to this version, and trusted"
    RECORD = "puts the fencing on record, and cuts no power"
    CUT_OFF = "cuts off storage or network, and the guests run on"
    NOTHING = "is a test or a helper, and the host runs on"


_NOT_POWER = {
    Effect.WATCHDOG: "fence_watchdog fence_sbd external/sbd",
    # The host has crashed and cannot run guests, but for this its power is not cut.
    Effect.CRASH: "fence_kdump external/kdumpcheck",
    Effect.PERSON: "meatware",
    # A reservation or a switch port takes one of the host's ways away; a guest with its disk
    # elsewhere, and each guest's network or memory, live on.
    Effect.CUT_OFF: "fence_scsi fence_mpath fence_brocade fence_sanbox2 fence_cisco_mds fence_ifmib"
                    " fence_mcdata fence_vixel",
    # null, dummy: for tests, always successful. ping, crosslink: ask, and change nothing.
    # ssh, suicide: ask the host itself. pcmk, ack_manual: no devices.
    Effect.NOTHING: "null fence_dummy fence_null fence_heuristics_ping fence_heuristics_resource"
                    " fence_crosslink fence_pcmk fence_ack_manual ssh external/ssh suicide"
                    " external/null",
    Effect.RECORD: " ".join(RECORDERS),
}
_POWER = """
    fence_aliyun fence_alom fence_amt fence_amt_ws fence_apc fence_apc_snmp fence_aws fence_azure_arm
    fence_bladecenter fence_bullpap fence_cdu fence_cisco_ucs fence_cyberpower_ssh fence_docker
    fence_drac fence_drac5 fence_eaton_snmp fence_eaton_ssh fence_ecloud fence_emerson fence_eps
    fence_gce fence_hds_cb fence_hpblade fence_ibm_powervs fence_ibm_vpc fence_ibmblade fence_ibmz
    fence_idrac fence_ilo fence_ilo2 fence_ilo3 fence_ilo3_ssh fence_ilo4 fence_ilo4_ssh fence_ilo5
    fence_ilo5_ssh fence_ilo6 fence_ilo7 fence_ilo_moonshot fence_ilo_mp fence_ilo_ssh fence_imm
    fence_intelmodular fence_ipdu fence_ipmilan fence_ipmilanplus fence_ironic fence_kubevirt
    fence_ldom fence_lindypdu fence_lpar fence_netio fence_nutanix_ahv fence_openstack fence_ovh
    fence_powerman fence_pve fence_raritan fence_raritan_px3 fence_rcd_serial fence_redfish
    fence_rhevm fence_rsa fence_rsb fence_skalar fence_tripplite_snmp fence_vbox fence_virsh
    fence_virt fence_virtd fence_vmware fence_vmware_rest fence_vmware_soap fence_vmware_vcloud
    fence_wti fence_xenapi fence_xvm fence_zvm fence_zvmip
    external/drac5 external/dracmc-telnet external/ec2 external/hetzner external/hmchttp
    external/ibmrsa external/ibmrsa-telnet external/ipmi external/ippower9258 external/libvirt
    external/nut external/rackpdu external/riloe external/vcenter external/vmware external/xen0
    external/xen0-ha apcmaster apcmastersnmp apcsmart baytech bladehpi cyclades drac3 ibmhmc ipmilan
    nw_rpc100s rcd_serial rps10 wti_mpc wti_nps
"""
EFFECTS = {
    **dict.fromkeys(_POWER.split(), Effect.POWER),
    **{agent: effect for effect, agents in _NOT_POWER.items() for agent in agents.split()},
}
PROOFS = frozenset((Effect.POWER, Effect.WATCHDOG, Effect.CRASH, Effect.PERSON, Effect.UNKNOWN))


def effect_of(agent: str) -> Effect:
    """Return what a fence agent (the type of a device, without stonith:) does."""
    return EFFECTS.get(agent, Effect.UNKNOWN)


def proves(agent: str) -> bool:
    """Return whether its success proves that the guests have stopped; "" is a missing device."""
    return bool(agent) and effect_of(agent) in PROOFS


def level_fault(agents: Sequence[str]) -> str:
    """Return why a level proves nothing, "" where it does.

    `agents` are those of its devices in their order. In one with an agent that records, the proof
    comes before that. One without is held to the same: when it succeeds, the host is fenced.
    """
    recorder = next((number for number, one in enumerate(agents) if one in RECORDERS), len(agents))
    if any(proves(agent) for agent in agents[:recorder]):
        return ""
    weak = next((agent for agent in agents[:recorder] if agent), "")
    before = f" before {agents[recorder]}" if recorder < len(agents) else ""
    if not weak:
        return f"has no power device{before}"
    return f"has only {weak}{before}, which {effect_of(weak).value}"
