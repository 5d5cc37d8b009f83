"""The judge of a study: which model gives verdicts on free answers, how it is asked, and what that may cost."""

import re
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, model_validator

ENVIRONMENT_NAME = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$")
Positive = Annotated[float, Field(gt=0.0)]
Count = Annotated[int, Field(ge=1)]


class Judge(BaseModel):
    """A chat model behind an OpenAI-compatible endpoint.

    `model`, `temperature`, `max_tokens`, `order`, `seed` and `logprobs` bear on verdicts and are part of a score's
    identity as far as its benchmark uses them; where the model is served, how fast it may be asked and what it may cost
    are not. A key is only ever read from the environment variable that `api_key_env` names.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    endpoint: str = Field(description="the part of the address before /chat/completions, as http://localhost:8000/v1")
    model: str = Field(min_length=1)
    api_key_env: str | None = None
    temperature: Annotated[float, Field(ge=0.0)] = 0.0
    max_tokens: Count = Field(default=2048, description="of a rating with its explanation")
    order: Literal["random", "both"] = Field(
        default="random", description="of two answers that are compared: drawn for each item, or each item asked twice"
    )
    seed: Annotated[int, Field(ge=0)] = 0
    logprobs: bool = Field(default=True, description="weigh a preference by the probability of the verdict's token")
    concurrency: Count = 8
    timeout_seconds: Positive = 120.0
    retries: Annotated[int, Field(ge=0)] = 5
    requests_per_minute: Count | None = None
    tokens_per_minute: Count | None = None
    budget_calls: Count | None = None
    budget_usd: Positive | None = None
    usd_per_million_input: Annotated[float, Field(ge=0.0)] | None = None
    usd_per_million_output: Annotated[float, Field(ge=0.0)] | None = None

    @model_validator(mode="after")
    def _can_be_asked(self) -> Self:
        parts = urlsplit(self.endpoint)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("`endpoint` is an address like http://localhost:8000/v1")
        if parts.username or parts.password or parts.query:
            raise ValueError("`endpoint` holds no key: put it in an environment variable named by `api_key_env`")
        if self.api_key_env is not None and not ENVIRONMENT_NAME.match(self.api_key_env):
            raise ValueError("`api_key_env` is the name of an environment variable, such as JUDGE_KEY, never a key")
        prices = (self.usd_per_million_input, self.usd_per_million_output)
        if self.budget_usd is not None and None in prices:
            raise ValueError("`budget_usd` needs `usd_per_million_input` and `usd_per_million_output`")
        return self

    def usd(self, input_tokens: int, output_tokens: int) -> float | None:
        """What so many tokens cost, or None where a price is not given."""
        if self.usd_per_million_input is None or self.usd_per_million_output is None:
            return None
        return (input_tokens * self.usd_per_million_input + output_tokens * self.usd_per_million_output) / 1e6
