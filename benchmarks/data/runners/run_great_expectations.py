"""Great Expectations: the rules of our contract as expectations on the current file."""

import json
from pathlib import Path

import great_expectations as gx
import pandas as pd
from clock import measure
from great_expectations import expectations as gxe

#: How pandas holds what our contract calls by these names.
TYPES = {"number": "float64", "integer": "int64", "boolean": "bool", "timestamp": "datetime64[us]"}


def validation(reference, current):
    """Read and validate; how many expectations there were, and how many held."""
    contract = json.loads((Path(current).parent / "contract.json").read_text())
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    frame = pd.read_parquet(current)
    asset = context.data_sources.add_pandas("pandas").add_dataframe_asset("landed")
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": frame})
    suite = gx.ExpectationSuite(name="contract")
    for name, column in contract["columns"].items():
        for expectation in _expectations(name, column):
            suite.add_expectation(expectation)
    found = batch.validate(suite)
    failed = sorted(
        {f"{r.expectation_config.type} {r.expectation_config.kwargs}"[:200] for r in found.results if not r.success}
    )
    return {"expectations": len(found.results), "failed": failed}


def _expectations(name, column):
    if not column.get("nullable"):
        yield gxe.ExpectColumnValuesToNotBeNull(column=name)
    if column["type"] in TYPES:
        yield gxe.ExpectColumnValuesToBeOfType(column=name, type_=TYPES[column["type"]])
    if column.get("unique"):
        yield gxe.ExpectColumnValuesToBeUnique(column=name)
    if "min" in column or "max" in column:
        yield gxe.ExpectColumnValuesToBeBetween(column=name, min_value=column.get("min"), max_value=column.get("max"))
    if "allowed" in column:
        yield gxe.ExpectColumnValuesToBeInSet(column=name, value_set=column["allowed"])
    if "pattern" in column:
        yield gxe.ExpectColumnValuesToMatchRegex(column=name, regex=f"^(?:{column['pattern']})$")


measure({"validation": validation}, gx.__version__)
