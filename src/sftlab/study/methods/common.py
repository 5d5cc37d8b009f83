"""What every training method declares."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


def one_or_many(value: object) -> object:
    """Let a study file write a single value where a list is legal."""
    return value if isinstance(value, list | tuple) else (value,)


PositiveFloats = Annotated[tuple[Annotated[float, Field(gt=0.0)], ...], BeforeValidator(one_or_many)]
PositiveCounts = Annotated[tuple[Annotated[int, Field(ge=1)], ...], BeforeValidator(one_or_many)]


@dataclass(frozen=True)
class Quantisation:
    """How the base's matrices are held in four bits each; with `double` their scales are quantised, too."""

    kind: Literal["nf4", "fp4"]
    double: bool


class MethodParameters(BaseModel):
    """Optimizer settings that all methods share; AdamW in every case (Loshchilov & Hutter 2019)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: ClassVar[int] = 1

    learning_rate: PositiveFloats = Field(default=(1.0e-5,), min_length=1)
    batch_size: PositiveCounts = Field(default=(32,), min_length=1)
    weight_decay: float = Field(default=0.0, ge=0.0)
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = Field(default=1.0e-8, gt=0.0)
    max_grad_norm: float | None = Field(default=1.0, gt=0.0)
    reduction: Literal["token", "sequence"] = Field(
        default="token", description="whether every learned token of a step weighs the same, or every example"
    )
    decay: Literal["all", "matrices"] = Field(
        default="all", description="what weight decay pulls at: everything trained, or all but norms and biases"
    )
    gradient_checkpointing: bool = Field(
        default=False, description="compute activations again in the backward pass: less memory, the same result"
    )
    optimizer: Literal["adamw", "adamw_8bit"] = Field(
        default="adamw",
        description="AdamW with moments in the type of the weights, or in eight bits (Dettmers et al. 2022)",
    )
    offload: Literal["none", "optimizer"] = Field(
        default="none",
        description="`optimizer` keeps weights, gradients and moments in the host's memory: the same result",
    )
    select: Literal["validation"] | None = None

    @property
    def quantisation(self) -> Quantisation | None:
        """How the base is quantised while this method trains and when what it trained is scored; None: it is not."""
        return None

    @property
    def needs(self) -> tuple[str, ...]:
        """Packages that this method needs beside those that sftlab always has."""
        return ("bitsandbytes",) if self.quantisation is not None or self.optimizer == "adamw_8bit" else ()

    @property
    def recipe(self) -> dict[str, object]:
        """What bears on the result; AdamW itself goes without saying."""
        how = {"select", "gradient_checkpointing", "offload", *({"optimizer"} if self.optimizer == "adamw" else ())}
        return {**self.model_dump(exclude=how), "version": type(self).version}
