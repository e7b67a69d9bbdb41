"""What a step's compute or memory traffic would take alone is no more than the step takes: no pool is above the roof."""

from __future__ import annotations

import pytest

from solver.cost.instance import Instance
from solver.cost.pool.mix import Mix
from solver.cost.pool.priced import PricedPool
from solver.replica import Parallelism, Setup
from solver.workload import RequestClass, Scenario
from solver.workload.files import read_content


def _pool(setup: Setup, prompt_tokens: int, accepted: float = 1.0) -> PricedPool:
    content, _ = read_content("deepseek-v3-2xnvl72")
    instance = Instance.of(Scenario.from_mapping(content, "test"))
    classes = [RequestClass("chat", prompt_tokens=prompt_tokens, output_tokens=500, requests_per_s=1.0)]
    calibration, _ = instance.calibration(setup.engine, "gb200")
    return PricedPool.of(
        setup, 2, instance.llm, instance.fleet("gb200"), calibration, Mix.of(classes), accepted=accepted
    )


@pytest.mark.parametrize("busy", [0.2, 0.6, 0.9])
@pytest.mark.parametrize(("prompt_tokens", "prompts_per_step"), [(500, 16), (4000, 2), (8500, 1), (30_000, 1)])
def test_a_prefill_step_takes_what_it_computes(busy: float, prompt_tokens: int, prompts_per_step: int) -> None:
    shape = Parallelism(pp=4)
    pool = _pool(Setup("prefill", "sglang", shape, prompts_per_step=prompts_per_step), prompt_tokens)
    service = pool.at_batch(busy)
    compute, memory, _, _ = pool.parts_s(service)
    assert max(compute, memory) / shape.pp <= service.step_s[0]
    # As many tokens as come: a rank that is busy takes a step's tokens in a step's time.
    tokens = service.step_tokens
    assert tokens is not None
    assert prompt_tokens / -(-prompt_tokens // pool.setup.chunk_tokens) <= tokens[0] * (1 + 1e-9)
    assert tokens[0] <= min(prompt_tokens * prompts_per_step, pool.setup.chunk_tokens) * (1 + 1e-9)


@pytest.mark.parametrize("draft_tokens", [0, 2])
def test_a_decode_step_takes_what_it_computes(draft_tokens: int) -> None:
    shape = Parallelism(ep=32, dp=32)
    setup = Setup("decode", "sglang", shape, draft_tokens=draft_tokens)
    pool = _pool(setup, 2000, accepted=1 + 0.8 * draft_tokens)
    for batch in (1.0, 64.0, 512.0):
        service = pool.at_batch(batch)
        compute, memory, _, _ = pool.parts_s(service)
        assert max(compute, memory) <= service.step_s[0]
    # Drafts are verified with the token before them, at a step's rate.
    plain = _pool(Setup("decode", "sglang", shape), 2000).parts_s(service)[0]
    assert pool.parts_s(service)[0] == pytest.approx(plain * (1 + draft_tokens) / pool.replicas.accepted[0], rel=0.05)
