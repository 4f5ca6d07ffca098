"""The regions that exist, by the names that Railway and Supabase give them today."""

from infra.railway import region_names

REGIONS = region_names.REGIONS
REGION_ALIASES = region_names.ALIASES
REPLICAS_MAX = region_names.REPLICAS_MAX

# Supabase names its regions as AWS does.
DATABASE_REGIONS = (
    "us-west-1", "us-west-2", "us-east-1", "us-east-2", "ca-central-1", "sa-east-1",
    "eu-west-1", "eu-west-2", "eu-west-3", "eu-central-1", "eu-central-2", "eu-north-1",
    "ap-south-1", "ap-southeast-1", "ap-southeast-2", "ap-northeast-1", "ap-northeast-2",
)  # fmt: skip
