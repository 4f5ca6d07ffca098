"""The regions that exist, by the names that Railway and Supabase give them today."""

from collections.abc import Mapping

REGIONS = ("us-west2", "us-east4-eqdc4a", "europe-west4-drams3a", "asia-southeast1-eqsg3a")

# Names in older guides and templates. Railway still knows what was meant by some of them; we say it for all.
REGION_ALIASES: Mapping[str, str] = {
    "us-west1": "us-west2",
    "us-east4": "us-east4-eqdc4a",
    "europe-west4": "europe-west4-drams3a",
    "asia-southeast1": "asia-southeast1-eqsg3a",
}

REPLICAS_MAX = 50  # Railway's limit for one service, over all its regions

# Supabase names its regions as AWS does.
DATABASE_REGIONS = (
    "us-west-1", "us-west-2", "us-east-1", "us-east-2", "ca-central-1", "sa-east-1",
    "eu-west-1", "eu-west-2", "eu-west-3", "eu-central-1", "eu-central-2", "eu-north-1",
    "ap-south-1", "ap-southeast-1", "ap-southeast-2", "ap-northeast-1", "ap-northeast-2",
)  # fmt: skip
