"""The description of the API (OpenAPI 3.1), made from the same table as its routes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from interpose.console.resource import Group, Parameter, Resource
from interpose.core.version import __version__

_IN_PATH: Final = re.compile(r"\{([a-z]+)\}")
_ABOUT_PATH: Final = {"side": "`request` or `response`."}
_JSON: Final = "application/json"
_ERRORS: Final = {"$ref": "#/components/schemas/Errors"}


def description(groups: Sequence[Group], prefix: str) -> dict[str, Any]:
    """The API of `groups`, below `prefix`."""
    resources = [(group, resource) for group in groups for resource in group.resources]
    kinds = list({id(kind): kind for _, resource in resources for kind in _kinds(resource)}.values())
    schemas, components = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    schema_of = {id(kind): schema for kind, schema in zip(kinds, schemas, strict=True)}
    paths: dict[str, dict[str, Any]] = {}
    for group, resource in resources:
        operations = paths.setdefault(resource.path, _path(resource.path))
        operations[resource.method.lower()] = _operation(group, resource, schema_of)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Interpose",
            "version": __version__,
            "description": "What passes through an instance of Interpose, what waits, and how it stands. Errors are "
            'sentences: `{"errors": ["…"]}`.',
        },
        "servers": [{"url": prefix}],
        "tags": [{"name": group.name, "description": group.about} for group in groups],
        "paths": paths,
        "components": {
            "schemas": {**components, "Errors": _errors()},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "The token of the console's link."}
            },
        },
        "security": [{"bearer": []}],
    }


def _kinds(resource: Resource) -> Iterable[Any]:
    return [kind for kind in (resource.answer, resource.content) if kind is not None and not isinstance(kind, str)]


def _path(path: str) -> dict[str, Any]:
    names = _IN_PATH.findall(path)
    if not names:
        return {}
    parameters = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": _ABOUT_PATH.get(name, "Which one."),
            "schema": {"type": "string"},
        }
        for name in names
    ]
    return {"parameters": parameters}


def _operation(group: Group, resource: Resource, schema_of: dict[int, Any]) -> dict[str, Any]:
    answer = {"description": resource.about, "content": _content(resource.answer, schema_of)}
    refusals = {401: "Nobody has said who asks.", 403: "Who asks may not, or asks from elsewhere.", **resource.refusals}
    operation: dict[str, Any] = {
        "tags": [group.name],
        "operationId": _name(resource),
        "summary": resource.about,
        "description": f"Takes the role {resource.role.name.lower()}.",
        "parameters": [
            *(_parameter(parameter, "query") for parameter in resource.query),
            *(_parameter(parameter, "header") for parameter in resource.fields),
        ],
        "responses": {
            str(resource.status): answer,
            **{
                str(status): {"description": about, "content": {_JSON: {"schema": _ERRORS}}}
                for status, about in refusals.items()
            },
        },
    }
    if resource.content is not None:
        operation["requestBody"] = {"content": _content(resource.content, schema_of)}
    return operation


def _content(kind: Any, schema_of: dict[int, Any]) -> dict[str, Any]:
    if isinstance(kind, str):
        return {kind: {}}
    return {_JSON: {"schema": schema_of[id(kind)]}}


def _parameter(parameter: Parameter, where: str) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": where,
        "required": parameter.required,
        "description": parameter.about,
        "schema": {"type": parameter.kind},
    }


def _name(resource: Resource) -> str:
    """`GET /flows/{id}/preview/{side}` as `get-flows-id-preview-side`."""
    words = [resource.method.lower(), *re.findall(r"[a-z]+", resource.path)]
    return "-".join(words)


def _errors() -> dict[str, Any]:
    return {
        "title": "Errors",
        "type": "object",
        "properties": {"errors": {"type": "array", "items": {"type": "string"}}},
        "required": ["errors"],
    }
