"""Great Expectations: the rules of our contract as expectations on the current file."""

import json
import sys
from pathlib import Path

import great_expectations as gx
import pandas as pd
from clock import measure
from great_expectations import expectations as gxe


def job():
    """Read, validate; how many expectations held."""
    contract = json.loads((Path(sys.argv[2]).parent / "contract.json").read_text())
    context = gx.get_context(mode="ephemeral")
    batches = (
        context.data_sources.add_pandas("pandas")
        .add_dataframe_asset("landed")
        .add_batch_definition_whole_dataframe("all")
    )
    suite = context.suites.add(gx.ExpectationSuite(name="contract"))
    for name, column in contract["columns"].items():
        if not column.get("nullable"):
            suite.add_expectation(gxe.ExpectColumnValuesToNotBeNull(column=name))
        if column.get("unique"):
            suite.add_expectation(gxe.ExpectColumnValuesToBeUnique(column=name))
        if column["type"] in ("number", "integer") and "min" in column:
            suite.add_expectation(
                gxe.ExpectColumnValuesToBeBetween(column=name, min_value=column["min"], max_value=column["max"])
            )
        if "allowed" in column:
            suite.add_expectation(gxe.ExpectColumnValuesToBeInSet(column=name, value_set=column["allowed"]))
    definition = context.validation_definitions.add(gx.ValidationDefinition(name="v", data=batches, suite=suite))
    found = definition.run(batch_parameters={"dataframe": pd.read_parquet(sys.argv[2])})
    return {"expectations": len(found.results), "held": sum(bool(r.success) for r in found.results)}


measure(job, gx.__version__)
