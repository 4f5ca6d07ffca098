"""The Pulumi program: `pulumi up`, and whatever else runs this project, starts here."""

from pathlib import Path

import pulumi

from infra.desired_state.rendering import RenderingError
from infra.release import ReleaseError
from infra.settings import NAMESPACE, SettingsError, read_settings
from infra.stack import declare

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Reads, declares, exports. What the user can mend becomes one message each and then a RunError: no traceback."""
    try:
        settings = read_settings(pulumi.Config(NAMESPACE))
        for note in settings.notes:
            pulumi.log.warn(note)
        outputs = declare(settings, ROOT)
    except SettingsError as error:
        for problem in error.problems:
            pulumi.log.error(problem)
        raise pulumi.RunError(f"{len(error.problems)} to mend in Pulumi.{pulumi.get_stack()}.yaml; nothing changed") from error
    except (ReleaseError, RenderingError) as error:
        raise pulumi.RunError(str(error)) from error
    for name, value in outputs.items():
        pulumi.export(name, value)


main()
