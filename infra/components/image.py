"""The service's image, built here and pushed to a registry; only where `image.builder` is docker."""

from __future__ import annotations

from pathlib import Path

import pulumi

from infra.release import Release


class ReleaseImage(pulumi.ComponentResource):
    """The image of one release. Its tag is the release's digest, so that a pinned release is found without building it."""

    def __init__(self, name: str, release: Release, *, image_name: str, root: Path, opts: pulumi.ResourceOptions | None = None):
        super().__init__("cached-auth:index:ReleaseImage", name, {}, opts)
        # Imported here alone: the SDK needs a plugin of its own and a Docker engine, which no other stack has to have.
        import pulumi_docker

        built = pulumi_docker.Image(
            name,
            image_name=tagged(image_name, release.digest),
            build=pulumi_docker.DockerBuildArgs(
                context=str(root), dockerfile=str(root / "service" / "Dockerfile"), platform="linux/amd64"
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.reference: pulumi.Output[str] = built.repo_digest
        self.register_outputs({"reference": self.reference})


def tagged(image_name: str, digest: str) -> str:
    return f"{image_name}:{digest.removeprefix('sha256:')}"
