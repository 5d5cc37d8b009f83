"""How judges are asked and how their verdicts are read: text in, text out, no network."""

from collections.abc import Mapping

from sftlab.benchmarks.judging.alpaca_eval import AlpacaEval
from sftlab.benchmarks.judging.mt_bench import MtBench
from sftlab.benchmarks.judging.protocol import JudgeProtocol

PROTOCOLS: Mapping[str, JudgeProtocol] = {protocol.name: protocol for protocol in (MtBench(), AlpacaEval())}
