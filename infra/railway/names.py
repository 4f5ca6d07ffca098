"""What names and ids may be, as far as Railway's documentation and clients tell."""

from infra.provider.rules import Text

PROJECT_NAME = Text(1, 50)
ENVIRONMENT_NAME = Text(1, 50)
SERVICE_NAME = Text(1, 32, r"[A-Za-z0-9]([A-Za-z0-9 ._-]*[A-Za-z0-9])?", "letters, digits, spaces, dots, dashes and underscores")
"""32 characters: Railway's documentation of services."""

ID = Text(1, 64, r"[A-Za-z0-9-]+", "an id: letters, digits and dashes")
MOUNT_PATH = Text(1, 255, r"/[^\0]*", "an absolute path")
VARIABLE_NAME = Text(1, 256, r"[A-Za-z_][A-Za-z0-9_]*", "a name of letters, digits and underscores")
TOKEN_NAME = Text(1, 100)
HOST_NAME = Text(
    1,
    253,  # RFC 1035, section 2.3.4
    r"(\*\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?",
    "a host name in lower case, like api.example.com",
)
