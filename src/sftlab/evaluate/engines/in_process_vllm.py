"""vLLM in this process. Written to its documented interface (0.8 to 0.11); it has never been run."""

import gc
import importlib
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sftlab.errors import ModelError
from sftlab.evaluate.engines.engine import EngineAbout, LikelihoodAnswers, TextAnswers, unwatched
from sftlab.evaluate.engines.served import ServedModel
from sftlab.lm.likelihood import Request
from sftlab.lm.request_tree import Ids


class InProcessVllm:
    """A folder of whole weights in vLLM, which schedules all questions of a benchmark itself."""

    def __init__(self, model: ServedModel, folder: Path, about: EngineAbout) -> None:
        # Its engine would be a process of its own, which a worker, a daemon, may not start.
        os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
        try:
            vllm: Any = importlib.import_module("vllm")
        except ImportError as error:
            raise ModelError(
                "the engine vllm is not installed here: `pip install vllm`, or remove evaluation.engine"
            ) from error
        self.model = model
        self.about = about
        self._vllm = vllm
        self._llm: Any = vllm.LLM(
            model=str(folder), dtype=about.precision, skip_tokenizer_init=False, generation_config="vllm"
        )

    def close(self) -> None:
        """Let go of the weights and the memory kept for keys and values: the next checkpoint needs them."""
        self._llm = None
        gc.collect()
        importlib.import_module("vllm.distributed").cleanup_dist_env_and_memory()

    def log_likelihoods(
        self, requests: Sequence[Request], *, on_progress: Callable[[float], None] = unwatched
    ) -> LikelihoodAnswers:
        """Sums of `prompt_logprobs`; a request that leaves no room for the one token that vLLM writes is unfit."""
        wholes = [np.concatenate([one.context_ids, one.continuation_ids]).tolist() for one in requests]
        room = self.model.context_length
        unfit = {
            place: f"{len(ids)} tokens and one to write do not fit the context of {room}"
            for place, ids in enumerate(wholes)
            if len(ids) >= room
        }
        asked = [place for place in range(len(wholes)) if place not in unfit]
        settings = self._vllm.SamplingParams(temperature=0.0, max_tokens=1, prompt_logprobs=1)
        answers = self._generate([wholes[place] for place in asked], settings)
        log_likelihood = np.full(len(requests), np.nan)
        for place, answer in zip(asked, answers, strict=True):
            start = len(requests[place].context_ids)
            told = zip(answer.prompt_logprobs[start:], wholes[place][start:], strict=True)
            # Of the first token of all it says nothing.
            log_likelihood[place] = math.fsum(by_token[token].logprob for by_token, token in told if by_token)
        on_progress(1.0)
        return LikelihoodAnswers(log_likelihood, unfit)

    def generate(
        self,
        prompts: Sequence[Ids],
        *,
        max_new_tokens: int,
        stops: tuple[str, ...] = (),
        on_progress: Callable[[float], None] = unwatched,
    ) -> TextAnswers:
        """Greedy answers; each prompt may be followed by as many tokens as the context has room for, perhaps none."""
        special, room = self.model.base_tokenizer.special_tokens, self.model.context_length
        ends = [special[stop] for stop in stops if stop in special]
        asked = [place for place, prompt in enumerate(prompts) if len(prompt) < room]
        settings = [
            self._vllm.SamplingParams(
                temperature=0.0,
                max_tokens=min(max_new_tokens, room - len(prompts[place])),
                stop=[stop for stop in stops if stop] or None,
                stop_token_ids=ends or None,
            )
            for place in asked
        ]
        answers = self._generate([[int(one) for one in prompts[place]] for place in asked], settings)
        texts = [""] * len(prompts)
        for place, answer in zip(asked, answers, strict=True):
            texts[place] = answer.outputs[0].text
        on_progress(1.0)
        return TextAnswers(tuple(texts))

    def _generate(self, prompts: Sequence[list[int]], settings: object) -> Sequence[Any]:
        """Answers of vLLM in the order of the prompts, without its bar of progress."""
        if not prompts:
            return ()
        answers: Sequence[Any] = self._llm.generate(
            [{"prompt_token_ids": ids} for ids in prompts], settings, use_tqdm=False
        )
        return answers
