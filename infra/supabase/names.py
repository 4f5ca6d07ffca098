"""What names may be in Supabase's Management API."""

from infra.provider.rules import Text

PROJECT_NAME = Text(1, 256, r"[^.]+", "a name without dots")
ORGANIZATION_ID = Text(1, 64, r"[A-Za-z0-9-]+", "an organization's id or slug")
REF = Text(1, 64, r"[A-Za-z0-9-]+", "a project's ref")
REGION = Text(1, 32, r"[a-z]{2}-[a-z]+-[0-9]", "a region by its AWS name, such as eu-central-1")
PASSWORD = Text(8, 256)
INSTANCE_SIZE = Text(1, 32, r"[a-z0-9_]+", "an instance size such as small or 2xlarge")
