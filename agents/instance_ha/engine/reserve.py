"""A reserved host in the place of a dead one: enabled while it is needed, kept back again when it was not."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from ..errors import CloudError
from ..model import CONFIRMED, Migration, Record, Service
from .context import Context
from .limits import GIVEN_BACK, is_reserved, reserve_for

LOG = logging.getLogger(__name__)


def call(context: Context, record: Record, host: Service, services: Sequence[Service]) -> Record:
    """Enable a reserved host for this one. It is written down first: Nova forgets the reason of a service that is enabled."""
    if not context.policy.reserved_hosts or record.state != CONFIRMED:
        return record
    named = _service(services, record.reserve)
    taken = {other.reserve for node, other in context.records.items() if node != record.node}
    spare = named or reserve_for(host, [s for s in services if s.host not in taken], context.aggregates())
    if spare is None or (record.reserve and not named):
        return record                      # a list that lacks the one that was called is no reason to call another
    if not named:
        record = context.cluster.replace(record.to(CONFIRMED, reserve=spare.host))
    if is_reserved(spare):
        context.reserves.add((record.id, spare.host))    # before: the answer may get lost
        try:
            context.nova.enable(spare)
        except CloudError as error:        # the others may have room; it is asked again in the next turn
            context.problem(f"reserve {record.node}", f"the reserved host {spare.host} is not enabled for {record.node}: {error}")
            return record
        LOG.info("%s: the reserved host %s is enabled for it", record.node, spare.host)
    context.solved(f"reserve {record.node}")
    return record


def give_back(context: Context, record: Record, migrations: Iterable[Migration]) -> Record:
    """Keep the reserved host back again, unless it was needed. The record without it, not stored yet.

    Only a host that this worker has enabled itself: whoever can write a record could else have any empty host disabled.
    """
    context.solved(f"reserve {record.node}")
    spare = _service(context.nova.services(), record.reserve)  # read again: it may have been enabled in this very turn
    if spare and spare.enabled:
        ours = (record.id, spare.host) in context.reserves
        coming = any(row.in_progress and row.destination == spare.host for row in migrations)
        if coming or context.nova.servers_on(spare.host):
            LOG.info("%s: the reserved host %s has servers now and stays enabled", record.node, spare.host)
        elif not ours:
            LOG.warning("%s: the reserved host %s was not needed, and stays enabled, since another worker has enabled it", record.node, spare.host)
        else:
            context.nova.disable(spare, GIVEN_BACK)
            LOG.info("%s: the reserved host %s was not needed and is given back", record.node, spare.host)
    return record.to(record.state, reserve="")


def _service(services: Iterable[Service], host: str) -> Service | None:
    return next((s for s in services if s.binary == "nova-compute" and s.host == host), None)
