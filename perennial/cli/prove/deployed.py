"""The proof's loop as it is deployed: files landed, runs asked for, what serves, what is on record."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from perennial import events, keys
from perennial.aws.live import LivePointer
from perennial.cli.activity import Hope
from perennial.cli.deployment import Deployment
from perennial.cli.inference import ask
from perennial.cli.landing import Landed, await_outcomes, put_bytes
from perennial.cli.operate import ask_retraining
from perennial.cli.prove.project import FIRST_SHARE, Day, days, labels_csv
from perennial.cli.prove.script import Bad
from perennial.events import Event, LearningConcluded
from perennial.ledger import LedgerEntry

__all__ = ["DeployedLoop"]

_PAUSE_SECONDS = 1.0
_TAKEN = ("accepted", "joined")


@dataclass
class DeployedLoop:
    """
    What a user of the account can do with the loop and see of it.

    Attributes
    ----------
    find
        Gives the deployment as it is now.
    over
        Whether the script's time is up: who waits stops then.
    """

    find: Callable[[], Deployment]
    over: Callable[[], bool]
    _found: Deployment | None = None

    @property
    def deployment(self) -> Deployment:
        """Looked up once, until it is deployed again."""
        if self._found is None:
            self._found = self.find()
        return self._found

    def changed(self) -> None:
        """It was deployed again: its outputs may be others."""
        self._found = None

    def until[T](self, what: str, look: Callable[[], T], *, run: str = "") -> T:
        """
        What `look` gives as soon as that is true.

        Raises
        ------
        Bad
            It can't come any more: nothing is under way, the learning run `run` has ended, or time is up.
        """
        hope = Hope(self.deployment)
        while not (found := look()):
            if run and (ended := self.said(LearningConcluded, lambda e: e.run_id == run)) and not (found := look()):
                raise Bad(f"{what} must come. The run ended as {ended.outcome}: {'; '.join(ended.reasons)}")
            if found:
                return found
            if self.over():
                raise Bad(f"{what} must come. The script's time is up")
            if why := hope.lost():
                raise Bad(f"{what} must come. It can't any more: {why}")
            time.sleep(_PAUSE_SECONDS)
        return found

    # --- files -----------------------------------------------------------------------------------------------------

    def land(self, files: Sequence[Day]) -> str:
        """Land batches, then their labels; all of them must be taken."""
        self._await_taken([
            put_bytes(self.deployment, keys.BATCHES_PREFIX, f"{day.name}.csv", day.batch_csv()) for day in files
        ])  # fmt: skip
        # In one file: what is learnt from is then decided once, with all of them.
        name = f"{files[0].name}-and-on.csv"
        self._await_taken([put_bytes(self.deployment, keys.LABELS_PREFIX, name, labels_csv(files))])
        return f"{len(files)} batches and their labels"

    def _await_taken(self, landed: Sequence[Landed]) -> None:
        waiting, refused = list(landed), list[str]()

        def settled() -> bool:
            outcomes = list(await_outcomes(self.deployment, waiting, seconds=_PAUSE_SECONDS))
            waiting[:] = [file for file, outcome in outcomes if outcome is None]
            told = {file.key: outcome.get("status") for file, outcome in outcomes if outcome is not None}
            refused.extend(f"{key}: {status}" for key, status in told.items() if status not in _TAKEN)
            return not waiting

        self.until(f"a verdict on {len(landed)} files", settled)
        if refused:
            raise Bad(f"every file must be accepted. Got {', '.join(refused)} instead")

    # --- the record ------------------------------------------------------------------------------------------------

    def ledger(self) -> list[Event]:
        """Every event on record, in order."""
        found = self.deployment.catalog.query(keys.ledger_partition(self.deployment.loop))
        entries = [LedgerEntry.model_validate_json(item["entry"]) for sort, item in found if sort.isdigit()]
        return [events.parse(entry.kind, entry.detail) for entry in entries]

    def said[E: Event](self, kind: type[E], test: Callable[[E], bool]) -> E | None:
        """The first event on record of that kind that passes."""
        return next((event for event in self.ledger() if isinstance(event, kind) and test(event)), None)

    def event[E: Event](self, what: str, kind: type[E], test: Callable[[E], bool]) -> E:
        """The same, once it is there."""
        found = self.until(what, lambda: self.said(kind, test))
        assert found
        return found

    # --- runs ------------------------------------------------------------------------------------------------------

    def retrain(self, reason: str, **hyperparameters: str) -> str:
        """Ask for a learning run until one starts: its id."""

        def fired() -> str | None:
            decision = ask_retraining(self.deployment, reason, hyperparameters)
            return str(decision["run_id"]) if decision["fired"] else None

        run = self.until("a learning run", fired)
        assert run
        return run

    def concluded(self, run: str) -> LearningConcluded:
        """How the run ended."""
        return self.event("the end of the run", LearningConcluded, lambda e: e.run_id == run)

    # --- what serves -----------------------------------------------------------------------------------------------

    @staticmethod
    def row() -> Mapping[str, str]:
        """What a caller of the first contract asks about."""
        return next(days(since=0)).rows[0]

    def must_answer(self, model_version: str) -> dict[str, Any]:
        """
        The model's answer to a caller.

        Raises
        ------
        Bad
            Nobody answers, or another model does.
        """
        answered = ask(self.deployment, [self.row()])
        if answered.error or answered.model_version != model_version:
            raise Bad(f"model {model_version} must answer. Got {answered.error or answered.model_version} instead")
        return dict(answered.predictions[0])

    def must_serve_alone(self, model_version: str) -> None:
        """Wait until all traffic is the model's, and see that it answers."""
        self.until("one variant alone", lambda: list(self.weights().values()) == [1.0])
        self.must_answer(model_version)

    def weights(self) -> dict[str, float]:
        """Shares of the traffic by variant; nothing while the endpoint changes."""
        endpoint = self._endpoint()
        if endpoint["EndpointStatus"] != "InService":
            return {}
        weights = {one["VariantName"]: one["CurrentWeight"] for one in endpoint["ProductionVariants"]}
        total = sum(weights.values()) or 1.0
        return {name: round(weight / total, 4) for name, weight in weights.items()}

    def in_first_step(self) -> dict[str, float] | None:
        """The shares, once a challenger takes what the first step gives it."""
        weights = self.weights()
        return weights if len(weights) == 2 and min(weights.values()) == FIRST_SHARE else None

    def standing(self) -> dict[str, Any]:
        """What a deployment must not change while a rollout is under way."""
        running = self.deployment.states.list_executions(
            stateMachineArn=self.deployment["RolloutMachineArn"], statusFilter="RUNNING"
        )["executions"]
        return {
            "config": self._endpoint()["EndpointConfigName"],
            "weights": self.weights(),
            "live": LivePointer(self.deployment.catalog, self.deployment.loop).read(),
            "executions": [one["name"] for one in running],
        }

    def _endpoint(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.deployment.sagemaker.describe_endpoint(
            EndpointName=self.deployment["EndpointName"]
        )
        return found
