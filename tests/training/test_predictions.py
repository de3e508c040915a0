"""What an estimator says is what its own methods say, whichever way it is asked."""

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from training.predictions import predict

ROWS = pd.DataFrame({"x": np.linspace(-1, 1, 40), "z": np.tile([0.0, 1.0], 20)})
TARGET = (ROWS["x"] > 0.1).astype(int)


class Cautious(Pipeline):
    """A pipeline with a predict of its own."""

    def predict(self, rows):
        return (self.predict_proba(rows)[:, 1] > 0.9).astype(int)


def test_a_pipeline_answers_as_its_own_methods_do():
    pipeline = make_pipeline(StandardScaler(), LogisticRegression()).fit(ROWS, TARGET)

    made = predict(pipeline, ROWS, "binary")

    np.testing.assert_array_equal(made.values, pipeline.predict(ROWS))
    np.testing.assert_array_equal(made.probabilities, pipeline.predict_proba(ROWS))


def test_a_pipeline_makes_the_features_of_a_request_once():
    calls = []

    def noted(rows):
        calls.append(len(rows))
        return rows

    pipeline = make_pipeline(FunctionTransformer(noted), StandardScaler(), LogisticRegression()).fit(ROWS, TARGET)
    calls.clear()

    predict(pipeline, ROWS[:3], "binary")

    assert calls == [3]


def test_a_pipeline_with_a_predict_of_its_own_is_asked_itself():
    cautious = Cautious([("scale", StandardScaler()), ("model", LogisticRegression())]).fit(ROWS, TARGET)

    made = predict(cautious, ROWS, "binary")

    np.testing.assert_array_equal(made.values, cautious.predict(ROWS))
    assert (made.values != (made.probabilities[:, 1] > 0.5)).any()
