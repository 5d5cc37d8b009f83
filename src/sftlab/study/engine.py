"""The engine of a study: what answers questions in place of the model in a worker's memory."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Count = Annotated[int, Field(ge=1)]
Dtype = Literal["float32", "bfloat16", "float16"]
BUILT_IN: Literal["built-in"] = "built-in"


class Server(BaseModel):
    """An OpenAI-compatible completions server: one that sftlab starts for every checkpoint, or one that runs already.

    What is served, by which program in which version and in which precision bears on every score and is part of its
    identity; where it runs and how many questions it is asked at once are not.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    serve: str | None = Field(
        default=None, description="the command that starts it, with {model}, {port} and, if wanted, {dtype} in it"
    )
    endpoint: str | None = Field(default=None, description="the address before /completions, as http://host:8000/v1")
    model: str | None = Field(default=None, description="the name under which a running server knows the model")
    name: str | None = Field(default=None, description="the program; the first word of `serve` if not given")
    version: str | None = Field(default=None, description="its version; that of the installed package if not given")
    dtype: Dtype | None = Field(default=None, description="in what it computes; the study's precision if not given")
    concurrency: Count = 32
    start_seconds: Count = Field(default=900, description="how long a started server may take until it answers")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.serve is None) == (self.endpoint is None):
            raise ValueError("an engine has either `serve` (a command) or `endpoint` (the address of a running server)")
        if self.serve is not None:
            missing = [place for place in ("{model}", "{port}") if place not in self.serve]
            if missing:
                raise ValueError(f"`serve` has {missing[0]} in it, where the command takes it, got {self.serve!r}")
            if "{dtype}" not in self.serve and self.dtype is None:
                raise ValueError(
                    "`serve` has {dtype} in it, where the command takes the precision, or `dtype` says what it is"
                )
        else:
            needed = [field for field in ("model", "name", "version", "dtype") if getattr(self, field) is None]
            if needed:
                raise ValueError(f"a running server cannot be asked what it is: say its `{needed[0]}`")
        return self

    @property
    def program(self) -> str:
        """What the server is called."""
        return self.name or (self.serve or "").split()[0].rpartition("/")[2]


EngineChoice = Literal["built-in", "vllm"] | Server
