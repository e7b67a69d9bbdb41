"""Where ranks lie."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from solver.check.training.evidence import TrainingEvidence


def device_is_there(evidence: TrainingEvidence) -> Iterator[str]:
    """The cluster has healthy devices of the kind in domains of the size, and the numbers are those that the job has."""
    plan = evidence.plan
    if evidence.ground is None:
        yield f"the cluster has no scale-up domain of {plan.domain} healthy {plan.device}"
    elif evidence.job.precision != plan.precision:
        yield f"the job computes in {evidence.job.precision} on {plan.device}; the plan says {plan.precision}"


def every_rank_once(evidence: TrainingEvidence) -> Iterator[str]:
    """Each rank has a healthy device of the kind, and no device has two."""
    placement, layout = evidence.plan.placement, evidence.layout
    if len(placement) != layout.devices:
        yield f"the layout has {layout.devices} ranks; {len(placement)} are placed"
    device, count = Counter(placement).most_common(1)[0]
    if count > 1:
        yield f"device {device!r} has {count} ranks"
    known = {
        device
        for ground in evidence.instance.grounds
        if ground.machine.device.name == evidence.plan.device
        for domain in ground.domains
        for device in domain.devices
    }
    strange = next((device for device in placement if device not in known), None)
    if strange is not None:
        yield f"{strange[:100]!r} is no healthy {evidence.plan.device} of the cluster"


def blocks_share_domains(evidence: TrainingEvidence) -> Iterator[str]:
    """Ranks that follow each other fill scale-up domains, for so are their links priced."""
    size, placement = evidence.plan.domain, evidence.plan.placement
    home = {d: domain.name for domain in evidence.sure_ground.domains for d in domain.devices}
    for start in range(0, len(placement), size):
        homes = {home.get(device) for device in placement[start : start + size]}
        if len(homes) != 1 or None in homes:
            last = min(start + size, len(placement)) - 1
            yield f"ranks {start} to {last} do not lie in one scale-up domain of {size} {evidence.plan.device}"
            return
