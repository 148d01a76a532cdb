"""Gives JSON to clients that ask for it and whose server only knows CSV: an object for each line.

interpose gateway 127.0.0.1:9000 --script examples/scripts/csv_to_json.py
curl -H 'Accept: application/json' http://127.0.0.1:8080/prices.csv
"""

import csv
import io
import json

import interpose
from interpose import Exchange, Handler, Request, Response


@interpose.filter
async def csv_to_json(exchange: Exchange, request: Request, forward: Handler) -> Response:
    wants_json = "application/json" in request.fields.get("Accept", "")
    if wants_json:
        request.fields.set("Accept", "text/csv")
        request.fields.remove("Range", "If-Range")
    response = await forward(exchange, request)
    response.fields.add("Vary", "Accept")
    if not wants_json or response.status != 200 or not response.fields.get("Content-Type", "").startswith("text/csv"):
        return response
    text = (await interpose.read(response, limit=8 << 20)).decode("utf-8-sig")
    if request.method != "HEAD":
        interpose.replace(response, json.dumps(list(csv.DictReader(io.StringIO(text)))))
    response.fields.set("Content-Type", "application/json")
    return response
