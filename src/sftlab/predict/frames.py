"""The frames of a prediction and their columns."""

from collections.abc import Mapping

from sftlab.analyse.schemas import COUNT, REAL, TEXT, TRUTH, Schema

SCHEMAS: Mapping[str, Schema] = {
    "predictions": {
        "base": TEXT,
        "family": TEXT,
        "dataset": TEXT,
        "benchmark": TEXT,
        "scorer": TEXT,
        "metric": TEXT,
        "unit": TEXT,
        "rank": COUNT,
        "tried": TRUTH,
        "gain": REAL,
        "ci_low": REAL,
        "ci_high": REAL,
        "question": TEXT,
        "predictor": TEXT,
        "expected_improvement": REAL,
        "try_next": TRUTH,
        "reason": TEXT,
    },
    "prediction_skill": {
        "question": TEXT,
        "predictor": TEXT,
        "benchmark": TEXT,
        "statistic": TEXT,
        "unit": TEXT,
        "value": REAL,
        "se": REAL,
        "ci_low": REAL,
        "ci_high": REAL,
        "n": COUNT,
        "of": TEXT,
    },
}
