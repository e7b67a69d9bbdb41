"""vLLM's own scheduler and block manager in virtual time; run by the Python that vLLM is in.

Who is in a step, how prompts are cut into chunks, who is preempted and which blocks are taken is vLLM's doing, as an
exported command configures it. How long a step lasts is asked of whoever started this: one line out (sequences that
decode, their mean context, prompt tokens, mean keys before each), one line in (seconds).
"""

from __future__ import annotations

import json
import os
import sys
from collections import deque
from types import SimpleNamespace
from typing import Any


def scheduler_of(asked: dict[str, Any]) -> tuple[Any, Any]:
    """The scheduler that a command configures, with the KV room of the plan's ledger, and its configuration."""
    import vllm_judge
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.entrypoints.launchers.cli_args import make_arg_parser
    from vllm.usage.usage_lib import UsageContext
    from vllm.utils.argparse_utils import FlexibleArgumentParser
    from vllm.v1.core.kv_cache_utils import generate_scheduler_kv_cache_config, get_kv_cache_configs
    from vllm.v1.core.sched.async_scheduler import AsyncScheduler
    from vllm.v1.core.sched.scheduler import Scheduler

    words = ["--model", asked["model"], *asked["words"][1:], "--skip-tokenizer-init", "--load-format", "dummy"]
    words += [] if asked["asynchronous"] else ["--no-async-scheduling"]
    arguments = make_arg_parser(FlexibleArgumentParser()).parse_args(words)
    config = AsyncEngineArgs.from_cli_args(arguments).create_engine_config(UsageContext.OPENAI_API_SERVER)
    specs = [vllm_judge._stage(config, stage)[1] for stage in range(config.parallel_config.pipeline_parallel_size)]
    config.cache_config.kv_cache_layout = config.cache_config.kv_cache_layout or "LBNHC"
    caches = get_kv_cache_configs(config, specs, [int(room) for room in asked["rooms"]])
    try:
        cache = generate_scheduler_kv_cache_config(caches)
    except TypeError:
        cache = generate_scheduler_kv_cache_config(caches, config)
    config.cache_config.num_gpu_blocks = cache.num_blocks
    grammars = SimpleNamespace(
        grammar_init=lambda *_: None, should_advance=lambda *_: False, clear_backend=lambda: None,
        accept_tokens=lambda *_, **__: True, grammar_bitmask=lambda *_: None,
    )  # fmt: skip
    kind = AsyncScheduler if config.scheduler_config.async_scheduling else Scheduler
    block = config.cache_config.block_size
    found = kind(vllm_config=config, kv_cache_config=cache, structured_output_manager=grammars, block_size=block)
    return found, config


class Clockwork:
    """vLLM's engine loop with a clock in place of devices.

    Attributes
    ----------
    depth: steps that may be under way; 2 with asynchronous scheduling.
    """

    def __init__(self, scheduler: Any, depth: int, step_s: Any) -> None:
        self.scheduler, self.depth, self.step_s = scheduler, depth, step_s
        self.now = self.free = 0.0
        self.under_way: deque[tuple[float, Any, dict[str, bool]]] = deque()
        self.requests: dict[str, Any] = {}
        self.first: dict[str, float] = {}
        self.last: dict[str, float] = {}
        self.tokens: dict[str, int] = {}

    def run(self, arrivals: list[tuple[float, int, int]]) -> None:
        """Serve requests that arrive at times [s] with prompts and outputs of so many tokens."""
        pending = deque(enumerate(arrivals))
        while pending or self.under_way or self.scheduler.has_unfinished_requests():
            while pending and pending[0][1][0] <= self.now:
                self._add(*pending.popleft())
            idle = len(self.under_way) < self.depth
            if idle and self.scheduler.has_unfinished_requests() and self._plan():
                continue
            arrival = pending[0][1][0] if pending else float("inf")
            end = self.under_way[0][0] if self.under_way else float("inf")
            if idle and arrival < end:
                self.now = max(self.now, arrival)
            elif self.under_way:
                self._finish()
            else:
                break

    def _add(self, number: int, arrival: tuple[float, int, int]) -> None:
        from vllm.sampling_params import SamplingParams
        from vllm.v1.request import Request

        time_s, prompt, output = arrival
        sampling = SamplingParams(max_tokens=output, min_tokens=output, ignore_eos=True, temperature=0.0)
        request = Request(str(number), [number % 1000 + 3] * prompt, sampling, None, arrival_time=time_s)
        self.requests[str(number)] = request
        self.scheduler.add_request(request)

    def _plan(self) -> bool:
        """Let vLLM put a step together; it begins when the device is free."""
        step = self.scheduler.schedule()
        if not step.total_num_scheduled_tokens:
            self.scheduler.update_from_output(step, _output(step, {}))
            return False
        decode, context, prompt, keys = 0, 0.0, 0, 0.0
        samples: dict[str, bool] = {}
        for name, tokens in step.num_scheduled_tokens.items():
            request = self.requests[name]
            before = request.num_computed_tokens - tokens  # schedule() has counted them already
            samples[name] = request.num_computed_tokens >= request.num_tokens
            if before >= request.num_prompt_tokens:
                decode, context = decode + 1, context + before + 1
            else:
                prompt, keys = prompt + tokens, keys + tokens * (before + tokens / 2)
        duration = self.step_s(decode, context / max(decode, 1), prompt, keys / max(prompt, 1))
        self.free = max(self.now, self.free) + duration
        self.under_way.append((self.free, step, samples))
        return True

    def _finish(self) -> None:
        self.now, step, samples = self.under_way.popleft()
        for outputs in self.scheduler.update_from_output(step, _output(step, samples)).values():
            for one in outputs.outputs:
                if one.new_token_ids:
                    self.first.setdefault(one.request_id, self.now)
                    self.last[one.request_id] = self.now
                    self.tokens[one.request_id] = self.tokens.get(one.request_id, 0) + len(one.new_token_ids)


def _output(step: Any, samples: dict[str, bool]) -> Any:
    from vllm.v1.outputs import ModelRunnerOutput

    names = list(step.num_scheduled_tokens)
    sampled = [[7] if samples[name] else [] for name in names]
    return ModelRunnerOutput(names, {name: place for place, name in enumerate(names)}, sampled_token_ids=sampled)


def main() -> None:
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    asked = json.loads(sys.stdin.readline())
    sys.path.insert(0, asked["judges"])
    os.environ.update(asked["environment"])
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    import vllm_mask

    vllm_mask.put_on(asked["device"])
    scheduler, config = scheduler_of(asked)

    def step_s(*work: float) -> float:
        print(*work, file=out, flush=True)
        return float(sys.stdin.readline())

    clock = Clockwork(scheduler, 2 if config.scheduler_config.async_scheduling else 1, step_s)
    clock.run(asked["arrivals"])
    print("END", json.dumps({"first": clock.first, "last": clock.last, "tokens": clock.tokens}), file=out, flush=True)


if __name__ == "__main__":
    main()
