"""Parquet files."""

import io

from sftlab.data.formats.source import Source
from sftlab.data.record import Rows
from sftlab.errors import DataError

PARQUET_MAGIC = b"PAR1"


def read_parquet(source: Source) -> Rows:
    """Rows of a parquet file; nested columns become lists and objects."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows: Rows = pq.read_table(io.BytesIO(source.content), use_threads=False).to_pylist()
    except (pa.ArrowException, OSError, ValueError) as error:
        fault = str(error).strip().split("\n")[0][:120]
        raise DataError(f"{source.where} is not a whole parquet file: {fault}") from None
    return rows
