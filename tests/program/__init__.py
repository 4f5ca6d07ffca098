"""The Pulumi program: settings, rendering, releases, and the graph of resources it declares."""
