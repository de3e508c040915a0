"""The CDK app: `make synth`, or `cdk deploy --all [-c loop=NAME]` with the CDK of `make`."""

import os
import sys

from infra.cdk_cli import NodeMissing, node_home


def main() -> None:
    """Synthesize what the CDK CLI asks for."""
    # jsii starts a Node when aws_cdk is imported: the one of our requirements, whatever the machine has.
    try:
        os.environ.setdefault("JSII_NODE", str(node_home() / "bin" / "node"))
    except NodeMissing as error:
        sys.exit(str(error))
    from infra.stacks import make_app
    from perennial.errors import PerennialError

    try:
        app = make_app()
    except PerennialError as error:
        sys.exit(str(error))
    app.synth()


if __name__ == "__main__":
    main()
