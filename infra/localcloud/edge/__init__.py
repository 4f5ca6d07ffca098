"""The edge of one region: an HTTP/1.1 reverse proxy that behaves as Railway's does, run as `python -m infra.localcloud.edge`."""
