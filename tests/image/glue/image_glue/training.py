"""Named by SAGEMAKER_TRAINING_MODULE: what the toolkit's `train` calls once it has read /opt/ml/input/config."""

from __future__ import annotations

from sagemaker_training import entry_point, environment, runner

__all__ = ["main"]


def main() -> None:
    """Fetch the source bundle and run the user's program under script mode, all of it by AWS's toolkit."""
    told = environment.Environment()
    entry_point.run(
        uri=told.module_dir,
        user_entry_point=told.user_entry_point,
        args=told.to_cmd_args(),
        env_vars=told.to_env_vars(),
        runner_type=runner.ProcessRunnerType,
    )
