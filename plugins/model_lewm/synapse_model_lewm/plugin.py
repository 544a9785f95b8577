"""What this plugin provides: the family and the two verbs that imagine."""

from synapse_core.hookspecs import Provided, Provides, hookimpl

PACKAGE = "synapse_model_lewm"


@hookimpl
def synapse_models() -> Provided:
    """LeWorldModel."""
    return (
        Provides(
            "model",
            "lewm",
            f"{PACKAGE}.family:FAMILY",
            "LeWorldModel: PushT, Cube, TwoRooms, Reacher and smaller.",
            f"{PACKAGE}.samples:LEWM",
        ),
    )


@hookimpl
def synapse_commands() -> Provided:
    """`rollout` and `plan`."""
    return (
        Provides(
            "command",
            "rollout",
            f"{PACKAGE}.rollout_command:rollout",
            "Imagine what follows images by given actions.",
        ),
        Provides(
            "command",
            "plan",
            f"{PACKAGE}.plan_command:plan",
            "Find actions that lead from one image to another.",
        ),
    )
