"""Project, configuration and the stack a command works on."""
