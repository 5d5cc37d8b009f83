"""`sftlab sql`: any question to the tables."""

import re
from typing import Annotated

import typer

from sftlab.cli.options import AsJson, StoreFolder, StudyFile


def sql(
    study: StudyFile,
    query: Annotated[str, typer.Argument(help='for example "select dataset, avg(gain) from scores group by all"')],
    store: StoreFolder = None,
    as_json: AsJson = False,
) -> None:
    """Answer a query (DuckDB's SQL) over the tables of a study, as csv."""
    import duckdb

    from sftlab.cli.table import OF_TEXTS, table_of_texts, write_frame
    from sftlab.errors import StudyError
    from sftlab.plan.opening import open_results

    results = open_results(study, store)
    with duckdb.connect(config={"enable_external_access": "false"}) as connection:
        for name, frame in results.tables().items():
            connection.register(name, frame.to_arrow())
        for name in OF_TEXTS:
            if re.search(rf"\b{name}\b", query, re.IGNORECASE):
                connection.register(name, table_of_texts(study, store, name).to_arrow())
        try:
            answer = connection.sql(query)
            frame = None if answer is None else answer.pl()
        except duckdb.Error as error:
            raise StudyError(f"the query cannot be answered: {str(error).splitlines()[0]}") from error
    if frame is None:
        raise StudyError("the query gave no table: ask with `select`")
    write_frame(frame, "json" if as_json else "csv", None)
