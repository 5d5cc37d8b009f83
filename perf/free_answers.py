"""Free answers: tasks with prompts, stops and limits of their own, written by sftlab's queue and by `generate`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from sftlab.lm.base import LoadedBase


@dataclass(frozen=True, eq=False)
class FreeTask:
    """Prompts in token ids, of which all begin with the same worked examples where there are any."""

    name: str
    prompts: tuple[np.ndarray, ...]
    max_new_tokens: int
    stops: tuple[str, ...]


def free_tasks(base: "LoadedBase", *, count: int) -> list[FreeTask]:
    """Four tasks: short answers, long answers, and both after worked examples of 400 tokens.

    A random model writes what it likes: stops are texts that end about half of the answers early.
    """
    generator = np.random.default_rng(0)
    vocabulary = len(base.tokenizer)

    def ids(length: int) -> np.ndarray:
        return generator.integers(3, vocabulary, length).astype(np.int32)

    made = []
    for name, shots, limit in (("short", 0, 16), ("long", 0, 64), ("short, shots", 400, 16), ("long, shots", 400, 64)):
        shared = ids(shots)
        prompts = tuple(np.concatenate([[1], shared, ids(int(generator.integers(20, 120)))]) for _ in range(count))
        made.append(FreeTask(name, prompts, limit, ("e", " t") if limit == 64 else ()))
    return made


def by_generate(base: "LoadedBase", tasks: Sequence[FreeTask], *, batch: int) -> list[list[str]]:
    """Task by task, in batches of prompts of like length padded on the left, with transformers' stop strings."""
    import torch

    written = []
    for task in tasks:
        texts = [""] * len(task.prompts)
        order = sorted(range(len(task.prompts)), key=lambda place: -len(task.prompts[place]))
        for start in range(0, len(order), batch):
            places = order[start : start + batch]
            width = max(len(task.prompts[place]) for place in places)
            ids = np.full((len(places), width), base.pad_id)
            real = np.zeros_like(ids)
            for row, place in enumerate(places):
                ids[row, width - len(task.prompts[place]) :] = task.prompts[place]
                real[row, width - len(task.prompts[place]) :] = 1
            stopping: dict[str, Any] = {"stop_strings": list(task.stops), "tokenizer": base.tokenizer}
            with torch.inference_mode():
                out = base.model.generate(
                    input_ids=torch.from_numpy(ids),
                    attention_mask=torch.from_numpy(real),
                    max_new_tokens=task.max_new_tokens,
                    do_sample=False,
                    pad_token_id=base.pad_id,
                    **(stopping if task.stops else {}),
                )
            for place, row in zip(places, out[:, width:].tolist(), strict=True):
                texts[place] = _cut(base, row, task.stops)
        written.append(texts)
    return written


def _cut(base: "LoadedBase", ids: list[int], stops: Sequence[str]) -> str:
    end = ids.index(base.eos_id) if base.eos_id in ids else len(ids)
    text: str = base.tokenizer.decode(ids[:end], skip_special_tokens=True)
    return text[: min((text.find(stop) for stop in stops if stop in text), default=len(text))]


def by_queue(base: "LoadedBase", tasks: Sequence[FreeTask], *, max_batch_tokens: int) -> list[list[str]]:
    """All tasks in sftlab's queue."""
    from sftlab.lm.generation import Asking, generate_all

    asked = [Asking(task.prompts, task.max_new_tokens, task.stops) for task in tasks]
    return generate_all(base, asked, max_batch_tokens=max_batch_tokens)
