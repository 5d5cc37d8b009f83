"""An adapter beside a base in four bits: how it is opened again, and where it cannot be evaluated so."""

from pathlib import Path

from sftlab.plan.lora_targets import matrix_shapes
from sftlab.release.chosen import Chosen

OUTPUTS, INPUTS = 32, 64
"""What bitsandbytes' maps are cut into on a CPU with AVX512-BF16 when they are evaluated (version 0.50)."""


def four_bit_lines(chosen: Chosen) -> list[str]:
    """The part of a model card that says how to open the adapter; empty for a base that is held whole."""
    quantisation = chosen.run.spec.method.quantisation
    if quantisation is None:
        return []
    precision = chosen.run.spec.precision
    return [
        "",
        "The base is held in four bits, as it was in training and for the scores below:",
        "",
        "```python",
        "base = AutoModelForCausalLM.from_pretrained(",
        f'    "{chosen.base.base.model}",',
        "    quantization_config=BitsAndBytesConfig(",
        f'        load_in_4bit=True, bnb_4bit_quant_type="{quantisation.kind}", '
        f"bnb_4bit_use_double_quant={quantisation.double},",
        f"        bnb_4bit_compute_dtype=torch.{precision.compute},",
        "    ),",
        f"    dtype=torch.{precision.weights},",
        ")",
        "model = PeftModel.from_pretrained(base, FOLDER)  # this one",
        "for module in model.modules():  # only on a CPU: see below",
        "    module.support_avx512bf16_for_cpu = False",
        "```",
        "",
        "On a CPU with AVX512-BF16, bitsandbytes rearranges a map's weights when they are first evaluated: it then "
        f"computes in bfloat16, and fails where outputs are no multiple of {OUTPUTS} or inputs none of {INPUTS}. The "
        "last two lines keep it from that. A server that holds the base whole answers as another model.",
    ]


def serving_limits(chosen: Chosen) -> list[str]:
    """What whoever exports an adapter beside a base in four bits should know, in sentences; empty for other runs."""
    if chosen.run.spec.method.quantisation is None:
        return []
    said = [
        "it answers beside the base in four bits, as README.md opens it: a server that holds the base whole would "
        "answer as another model"
    ]
    folder = Path(chosen.base.base.model)
    misfit = next(
        (
            f"{name} is {outputs} x {inputs}"
            for name, (outputs, inputs) in matrix_shapes(folder).items()
            if outputs % OUTPUTS or inputs % INPUTS
        ),
        None,
    )
    if misfit is not None:
        said.append(
            f"on a CPU with AVX512-BF16 bitsandbytes cannot evaluate this base ({misfit}, and it takes multiples of "
            f"{OUTPUTS} x {INPUTS}) without the last two lines of the code in README.md"
        )
    return said
