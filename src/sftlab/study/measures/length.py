"""How long prompts and responses are, in bytes and in tokens of a base."""

from sftlab.study.measures.declaration import Measure

LENGTH = Measure(
    name="length",
    version=1,
    of="data",
    properties=("prompt_tokens", "response_tokens", "prompt_bytes", "response_bytes"),
)
