"""Provider plugins and the program: child processes, and Pulumi's wire format."""
