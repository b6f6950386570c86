"""GET /metrics: for Prometheus, and whatever else reads its format."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from fastapi_app.compression import accepts_gzip
from fastapi_app.services import ServicesDep

router = APIRouter()


@router.get("/metrics", name="metrics", include_in_schema=False)
async def metrics(request: Request, services: ServicesDep) -> Response:
    """Return every metric, in the text format or as OpenMetrics."""
    scrape = await services.metrics.scrape(
        request.headers.get("accept", ""), compressed=accepts_gzip(request.headers)
    )
    headers = {"Content-Type": scrape.content_type, "Vary": "Accept, Accept-Encoding"}
    if scrape.is_compressed:
        headers["Content-Encoding"] = "gzip"
    return Response(scrape.body, headers=headers)
