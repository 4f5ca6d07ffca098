"""Resources of the tests' provider."""

import pulumi


class Thing(pulumi.CustomResource):
    serial: pulumi.Output[str]

    def __init__(self, name, opts=None, **inputs):
        super().__init__("thing:index:Thing", name, {"serial": None, **inputs}, opts)


class Group(pulumi.ComponentResource):
    def __init__(self, name, opts=None):
        super().__init__("thing:index:Group", name, {}, opts)
        self.register_outputs({})
