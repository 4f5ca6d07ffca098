"""Railway's regions by today's names. Only data: programs read it without loading the plugin's side."""

from collections.abc import Mapping

REGIONS = ("us-west2", "us-east4-eqdc4a", "europe-west4-drams3a", "asia-southeast1-eqsg3a")
ALIASES: Mapping[str, str] = {
    "us-west1": "us-west2",
    "us-east4": "us-east4-eqdc4a",
    "europe-west4": "europe-west4-drams3a",
    "asia-southeast1": "asia-southeast1-eqsg3a",
}
"""Old names that guides still use; Railway's API ignores them without a word, which is why we do not pass them on."""

REPLICAS_MAX = 50
"""Of one service, over all its regions."""
