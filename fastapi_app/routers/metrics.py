"""GET /metrics: for Prometheus, and whatever else reads its format."""

from __future__ import annotations

from fastapi import Request, Response

from fastapi_app.access import address_of, demand, guarded_router, open_to_everybody
from fastapi_app.compression import accepts_gzip
from fastapi_app.services import ServicesDep
from models.access import Role

router = guarded_router()


@router.get("/metrics", name="metrics", include_in_schema=False)
@open_to_everybody
async def metrics(request: Request, services: ServicesDep) -> Response:
    """Return every metric, in the text format or as OpenMetrics: to who may see anything, and to
    the addresses that the settings name (contracts.md)."""
    if not services.metrics_readers.has(address_of(request)):
        demand(request, Role.VIEWER)
    scrape = await services.metrics.scrape(
        request.headers.get("accept", ""), compressed=accepts_gzip(request.headers)
    )
    headers = {"Content-Type": scrape.content_type, "Vary": "Accept, Accept-Encoding"}
    if scrape.is_compressed:
        headers["Content-Encoding"] = "gzip"
    return Response(scrape.body, headers=headers)
