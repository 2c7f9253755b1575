"""Pure: every kind of finding, in the order of importance within its level. The table of docs/operations.md is made from it."""

from __future__ import annotations

from dataclasses import dataclass

ERROR = "error"        # tonight's evacuation would not work as it should
UNKNOWN = "unknown"    # could not be looked at
WARNING = "warning"    # works, and less well than it could; or a person should know
LEVELS = (ERROR, UNKNOWN, WARNING)
PACEMAKER, CLOUD, NODE = "pacemaker", "cloud", "node"
AREAS = (PACEMAKER, CLOUD, NODE)


@dataclass(frozen=True)
class Kind:
    """`what` is what is found, for all subjects alike; `why` is what comes of it."""

    name: str
    area: str
    level: str
    what: str
    why: str


_PACEMAKER = (
    ("no-quorum", ERROR, "this part of the cluster has no quorum", "Nothing is fenced and nothing is evacuated."),
    ("stonith-disabled", ERROR, "fencing-enabled (stonith-enabled before Pacemaker 3.0.2) is false",
     "Pacemaker fences nobody, so that a dead host is never proven to be off, and nothing is evacuated."),
    ("maintenance-mode", ERROR, "the whole cluster, a compute host's connection or the worker is in maintenance or unmanaged",
     "Pacemaker neither watches nor starts it: a dead host is not noticed, or a dead worker stays dead."),
    ("no-fence-nova", ERROR, "there is no device of fence_nova", "No fencing is put on record, and no host is marked down in Nova."),
    ("no-host-list", ERROR, "a device of fence_nova has neither pcmk_host_list nor pcmk_host_map",
     "Pacemaker takes it to fence, and to unfence, every node: controllers wait for an unfencing that no one means."),
    ("not-a-compute", ERROR, "fence_nova's pcmk_host_list or pcmk_host_map names a node that is no compute host",
     "Pacemaker unfences it too, and starts nothing on it while that fails."),
    ("controller-no-power", ERROR, "a full member that is no compute host has no power device",
     "Pacemaker unfences each member before it starts a device there: that fails, and nothing starts on it. And when it hangs, the cluster waits "
     "for a person."),
    ("level-missing", ERROR, "a compute host has no fencing level",
     "Any one device that can fence it is enough for Pacemaker then, fence_nova alone too, which cuts no power. The worker evacuates nothing "
     "from it."),
    ("level-no-power", ERROR,
     "a fencing level of a compute host has no device before fence_nova that stops its guests",
     "fence_nova cuts no power, nor does a device for tests, or one that cuts off storage: the host "
     "would pass for fenced while it runs. The worker does not believe that, and evacuates nothing "
     "from it."),
    ("level-no-record", ERROR, "no fencing level of a compute host has fence_nova",
     "Its fencing is not put on record, and nothing is evacuated from it."),
    ("map-crossed", ERROR, "pcmk_host_map gives a node the compute host of another node",
     "When the node is fenced, the other host is meant: nothing is recorded, and nothing is evacuated."),
    ("level-device", ERROR, "a fencing level names a device that does not exist or is disabled",
     "The level fails: the host is never proven to be off."),
    ("device-not-for-node", ERROR, "a fencing level names a device that does not fence this node (pcmk_host_list, pcmk_host_map)",
     "Pacemaker does not use the device for it: the level fails, and the host is never proven to be off."),
    ("device-down", ERROR, "a fence device of a compute host is not running anywhere, or has failed",
     "It did not answer when it was last asked: the next fencing is likely to fail, and nothing is evacuated then."),
    ("fencing-failed", ERROR, "the last fencing of a compute host failed", "The next one is likely to fail too, and nothing is evacuated then."),
    ("fencing-time", ERROR, "fence_nova may take longer than Pacemaker waits for it",
     "Pacemaker ends it in the middle while Nova hangs, and the level fails: the host is never proven to be off."),
    ("no-unfencing", ERROR, "fence_nova has not meta provides=unfencing",
     "Pacemaker does not unfence: fence_nova neither holds a returned host back nor notes that it is let in."),
    ("nova-compute-not-held", ERROR, "nova-compute has meta requires= something other than unfencing",
     "It may start on a returned host before fence_nova has noted that the host is let in."),
    ("nova-compute-not-held-back", ERROR, "no rule keeps nova-compute from starting while its host is held back, and fence_nova has let_in=at_once",
     "It starts on a returned host while its servers are still being moved."),
    ("nova-compute-stopped", ERROR, "nova-compute has too little stickiness for the rule that holds it back, or that rule too low a score",
     "A record that is older than its host's return, in a configuration that was restored, stops it where it runs, and the host passes for dead."),
    ("no-worker", ERROR, "there is no resource of NovaEvacuate", "Nothing is evacuated."),
    ("several-workers", ERROR, "there is more than one NovaEvacuate",
     "They take the work from each other, and each waits for the other again and again."),
    ("worker-stopped", ERROR, "NovaEvacuate is disabled, or runs nowhere", "Nothing is evacuated, and a fenced host is not let in again."),
    ("switched-off", ERROR, "NovaEvacuate has enabled=false", "Fencings are put on record, and nothing is evacuated."),
    ("worker-unwatched", ERROR, "NovaEvacuate has no recurring monitor", "A worker that dies is not noticed and stays dead."),
    ("worker-on-compute", ERROR, "nothing keeps NovaEvacuate off a compute host",
     "It may run on the host that dies, and compute hosts have no credentials."),
    ("agent-missing", ERROR, "a controller could not run NovaEvacuate when Pacemaker last asked it",
     "When the others die, no worker is started there."),
    ("parameter-wrong", ERROR, "a parameter of an agent is wrong", "The agent does nothing with it."),
    ("parameters-differ", ERROR, "fence_nova and NovaEvacuate have different values of a parameter that both have to share",
     "One does not find what the other writes, or means another host or cloud."),
    ("remote-unwatched", ERROR, "the connection to a Pacemaker Remote node has no recurring monitor", "A dead host is not noticed."),
    ("record-unreadable", ERROR, "the fencing record of a node cannot be read", "Nothing is evacuated from it, and it is not let in."),
    ("level-unrecorded", WARNING, "one fencing level of a compute host lacks fence_nova, another has it",
     "A fencing by that level is put on record by the worker, seconds later, and not at all when the host is a full member and no worker runs."),
    ("agent-unknown", WARNING,
     "a fencing level of a compute host has a fence agent that is not known",
     "It is taken to cut the power. If it does not, servers run twice."),
    ("list-unknown", WARNING, "fence_nova's pcmk_host_list or pcmk_host_map names what is no node of the cluster",
     "It does no harm; is it a name that was mistyped, and a host that is not protected?"),
    ("off-timeout", WARNING, "a power device has a long pcmk_reboot_timeout and no pcmk_off_timeout",
     "With two devices in a level Pacemaker makes off and on of a reboot, "
     "and off has fencing-timeout (stonith-timeout) only."),
    ("device-unwatched", WARNING, "a power device of a compute host has no recurring monitor",
     "That its controller is gone, or has another password, is noticed when the host dies."),
    ("failed-action", WARNING, "crm_mon shows a failed action of a resource that matters here", "It may be over; look at its reason, and clean up."),
    ("worker-complains", WARNING, "the monitor of NovaEvacuate is degraded", "The worker says that a person should look."),
    ("worker-limits", WARNING, "an action of NovaEvacuate has too short a timeout", "Pacemaker ends it in the middle and counts that as a failure."),
    ("failure-timeout", WARNING, "fence_nova, NovaEvacuate or nova-compute has no failure-timeout",
     "A failure that is over counts until somebody cleans up, and may keep it from being started."),
    ("monitor-on-fail", WARNING, "fence_nova's monitor has not on-fail=ignore",
     "While Nova cannot be asked Pacemaker stops and starts the device, and bans it at last."),
    ("fencing-one-by-one", WARNING, "concurrent-fencing is not true, or fence_nova has not pcmk_action_limit=-1",
     "Of several hosts that die at once each waits for the one before it."),
    ("load-threshold", WARNING, "load-threshold is not set",
     "On controllers under load Pacemaker does one thing at a time, and one that takes long keeps everything else waiting, the worker's start too."),
    ("stickiness", WARNING, "resource-stickiness is not set",
     "Pacemaker moves the worker and the hosts' connections without need; each move is a pause of 20 to 30 s in which nothing is sent or fenced."),
    ("remote-slow", WARNING, "the monitor of a Pacemaker Remote node may take more than a minute to notice a dead host", "So long nothing happens."),
    ("remote-start", WARNING, "the start of a Pacemaker Remote node's connection may take more than 30 s",
     "While Pacemaker tries to connect to a dead host it fences no other one."),
    ("remote-reconnect", WARNING, "reconnect_interval of a Pacemaker Remote node is missing or more than a minute",
     "Without one a controller that failed to connect once does not try again; a long one keeps a returned host out of service."),
    ("standby", WARNING, "a node is in standby", "Nothing runs on it, and the servers of such a compute host are evacuated only if it is fenced."),
    ("node-offline", WARNING, "a node is offline", "Is it meant to be? An offline host takes no servers, an offline controller no worker."),
    ("nova-compute-kept-off", WARNING, "a constraint keeps nova-compute off a compute host", "Pacemaker does not start it when the host is back."),
    ("nova-compute-not-restarted", WARNING, "no rule lets the worker have nova-compute started once more",
     "After a request that Nova lost, a returned host may wait for a person to restart its nova-compute."),
    ("nova-compute-elsewhere", WARNING, "nova-compute is no resource of Pacemaker, and fence_nova has not let_in=at_once",
     "Nothing that requires unfencing waits; each host's own unit has to, with instance-ha wait-until-evacuated."),
    ("unfencing-refused", WARNING, "fence_nova has not let_in=at_once, and Pacemaker starts nova-compute",
     "While the unfencing of a returned host is refused, Pacemaker starts nova-compute on no other host that has come back."),
    ("fence-nova-on-compute", WARNING, "nothing keeps fence_nova off compute hosts that are full members",
     "It needs credentials there, which compute hosts should not have."),
    ("power-not-required", WARNING, "quick_evacuate_level is 1",
     "Servers are evacuated from hosts whose power nobody has cut; one that still runs loses its servers' data."),
    ("password-in-cib", WARNING, "a password is in the cluster's configuration", "The group haclient, and root on every compute host, can read it."),
    ("on-record", WARNING, "a host is on record", "An evacuation is under way, or waits for somebody."),
    ("dismissed", WARNING, "a host is dismissed", "Nothing is done about it until it has been back."),
)
_CLOUD = (
    ("credentials", ERROR, "an agent's credentials do not work",
     "Nothing is evacuated; of fence_nova: the host is marked down later, by the worker, and the monitor fails."),
    ("cloud-away", ERROR, "Keystone or Nova gives no usable answer", "Nothing is evacuated before it does."),
    ("nova-old", ERROR, "Nova does not know API version 2.73", "Every request is made at that version."),
    ("policy", ERROR, "Nova refuses something that is asked of it", "The worker has to see it."),
    ("no-scheduler", ERROR, "no nova-scheduler or no nova-conductor is up", "Nova could carry nothing out, and the worker begins nothing."),
    ("no-destination", ERROR, "fewer than two compute hosts are up and enabled", "There is nowhere to go."),
    ("host-unknown", ERROR, "Nova knows no compute host for a node that is fenced as one", "The worker does not find its servers."),
    ("protect-hosts", ERROR, "protect_hosts names what is no host",
     "What was meant is not protected."),
    ("host-twice", WARNING, "Nova has several compute services of one short name",
     "After a renaming it keeps the old row. The one that was heard last counts; where that is not "
     "clear, nothing is evacuated."),
    ("host-unprotected", ERROR, "a compute host of Nova is no node of this cluster, or a controller that is not fenced as one",
     "When it dies, nobody notices, and nothing is evacuated from it."),
    ("forced-down", ERROR, "a host is forced down in Nova and not on record", "It takes no servers, and nobody gives it back."),
    ("nothing-protected", ERROR, "no server of the protected hosts is protected", "Nothing would be evacuated."),
    ("glance", ERROR, "Glance does not answer", "Whether a server is protected may depend on its image, and the worker waits until it knows."),
    ("cell-down", ERROR, "Nova shows only part of some servers: a cell is down?", "Those are not evacuated before it shows all."),
    ("policies-unseen", UNKNOWN, "the agents' user has not the role admin", "Some of what it has to do is not known before it is done."),
    ("unprotected", WARNING, "servers are not protected", "They stay on their host when it dies. Is each meant to be?"),
    ("not-evacuable", WARNING, "protected servers are in a state, or have something, with which they are not evacuated",
     "They stay on their host when it dies."),
    ("local-disks", WARNING, "protected servers were not booted from a volume",
     "Where the disk is on the host and not on shared storage they come back with an empty one. Whether it is shared, Nova does not show."),
    ("nova-compute-down", WARNING, "nova-compute is down on a host that is online", "The host takes no servers; its own run on."),
    ("left-disabled", WARNING, "a host is disabled in Nova by instance-ha and not on record", "It takes no servers until somebody enables it."),
    ("zone-alone", WARNING, "a zone has only one compute host that is up and enabled", "A server that is pinned to the zone has nowhere to go."),
    ("aggregates-hidden", WARNING, "Nova does not show its host aggregates", "What they say of protection and max_failures does not count."),
    ("aggregates-disagree", WARNING, 
     "two host aggregates with the same host disagree on protection",
     "The one that says yes counts: its servers are evacuated. Is that meant?"),
    ("placement", WARNING, "Placement does not answer", "Groups with hard affinity cannot be moved."),
    ("clock", WARNING, "the clocks of this node, of Nova's API and of its other services differ",
     "What returned hosts break in servers that left them is recognised by times that several machines write."),
)
_NODE = (
    ("agent-broken", ERROR, "an agent is not installed on this node, or does not run", "Pacemaker may have to run it here."),
    ("agents-differ", ERROR, "the agents on this node are of different versions, or from different folders",
     "What one writes the other may not read."),
    ("library-old", ERROR, "Python, or a library that the agents need, is missing or too old on this node", "The agents fail here."),
    ("disk-full", ERROR, "a file system of this node is full, or nearly",
     "Pacemaker cannot store its configuration, with the records in it, or the worker its heartbeat."),
    ("state-folder", ERROR, "the folder of the worker's files on this node is missing, or others may write to it",
     "The worker cannot start, or could be deceived."),
    ("guests-resume", ERROR, "resume_guests_state_on_host_boot is true on this compute host",
     "A returned host starts guests that run elsewhere by then."),
    ("guests-autostart", ERROR, "libvirt itself starts guests when this compute host boots",
     "A returned host starts guests that run elsewhere by then."),
    ("nova-compute-at-boot", ERROR, "nova-compute's unit starts at boot on this compute host, and does not wait",
     "It starts while the host's servers are still being moved."),
    ("not-root", UNKNOWN, "this was not run as root", "Files that only root may read were not looked at."),
    ("unseen", UNKNOWN, "something could not be looked at", "It may be well or not."),
    ("worker-outdated", WARNING, "the worker runs since before the agents were installed", "It is the old program, with parts of the new one."),
    ("secrets-open", WARNING, "others than root may read the file with the credentials", "It holds the password of a user that may do anything."),
    ("instances-local", WARNING, "the disks of this compute host's servers are on itself",
     "A server that was not booted from a volume comes back with an empty disk."),
)
KINDS = {row[0]: Kind(row[0], area, *row[1:]) for area, rows in ((PACEMAKER, _PACEMAKER), (CLOUD, _CLOUD), (NODE, _NODE)) for row in rows}
