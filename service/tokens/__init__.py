"""Access tokens: strict parsing, key selection and verification. No socket, no clock: both are passed in."""
