"""The graph as design-time events of OpenLineage: one a view, features, model, version and endpoint.

Source:
    https://openlineage.io/spec/2-0-2/OpenLineage.json (JobEvent) and the facets that `FACETS` names.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from typing import Any

from easyrec.errors import version
from easyrec.lineage.graph import Edge, Graph, Kind, Node

SPEC = "https://openlineage.io/spec"
EVENT = f"{SPEC}/2-0-2/OpenLineage.json#/$defs/JobEvent"
FACETS = {
    "columnLineage": f"{SPEC}/facets/1-2-0/ColumnLineageDatasetFacet.json#/$defs/ColumnLineageDatasetFacet",
    "schema": f"{SPEC}/facets/1-2-0/SchemaDatasetFacet.json#/$defs/SchemaDatasetFacet",
    "sql": f"{SPEC}/facets/1-1-0/SQLJobFacet.json#/$defs/SQLJobFacet",
    "jobType": f"{SPEC}/facets/2-0-4/JobTypeJobFacet.json#/$defs/JobTypeJobFacet",
}
FOLDERS: dict[Kind, str] = {
    "column": "table",
    "field": "view",
    "feature": "features",
    "input": "model",
    "label": "model",
    "model": "model",
    "version": "version",
    "endpoint": "endpoint",
}
"""What the names of data sets begin with, by what they hold."""
WHOLE = "*"
"""The field of a data set that has none: a version, an endpoint."""


def events(
    graph: Graph, namespace: str, at: datetime.datetime, queries: Mapping[str, str] = {}
) -> list[dict[str, Any]]:
    """Events that a server of OpenLineage takes, each a JSON object.

    Args:
        graph: What is made of what.
        namespace: Of all jobs and data sets.
        at: When this is so.
        queries: SQL of views, by their names.
    """
    made: dict[str, list[Node]] = {}
    for node in graph.nodes.values():
        if node.kind != "column":
            made.setdefault(_dataset(node), []).append(node)
    return [_event(graph, namespace, at, dataset, nodes, queries) for dataset, nodes in made.items()]


def _event(
    graph: Graph, namespace: str, at: datetime.datetime, dataset: str, nodes: list[Node], queries: Mapping[str, str]
) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    inputs: dict[str, list[str]] = {}
    for node in nodes:
        read = _outside(graph, node, dataset)
        if node.kind == "model":
            continue  # the same data set as its inputs
        fields[node.name or WHOLE] = {"inputFields": [_input(graph, namespace, edge) for edge in read]}
        for edge in read:
            source = graph.nodes[edge.source]
            inputs.setdefault(_dataset(source), []).append(source.name or WHOLE)
    folder, _, name = dataset.partition("/")
    job: dict[str, Any] = {
        "jobType": _facet("jobType", processingType="BATCH", integration="EASYREC", jobType=folder.upper())
    }
    if folder == "view" and name in queries:
        job["sql"] = _facet("sql", query=queries[name])
    output = {
        "namespace": namespace,
        "name": dataset,
        "facets": {
            "schema": _schema((node.name or WHOLE, node.facts) for node in nodes if node.kind != "model"),
            "columnLineage": _facet("columnLineage", fields=fields),
        },
    }
    return {
        "eventTime": at.isoformat(),
        "producer": _producer(),
        "schemaURL": EVENT,
        "job": {"namespace": namespace, "name": f"{folder}.{name}", "facets": job},
        "inputs": [
            {
                "namespace": namespace,
                "name": name,
                "facets": {"schema": _schema((one, {}) for one in dict.fromkeys(read))},
            }
            for name, read in inputs.items()
        ],
        "outputs": [output],
    }


def _outside(graph: Graph, node: Node, dataset: str) -> list[Edge]:
    """What a field reads of other data sets, also through others of its own; a version reads all inputs of its model."""
    found: dict[tuple[str, bool], Edge] = {}
    seen, left = {node.id}, [(node.id, None)]
    while left:
        at, passed = left.pop()
        for edge in graph.into(at):
            last = passed or edge
            source = graph.nodes[edge.source]
            if source.kind == "model" and node.kind in ("version", "endpoint"):
                inner = [one for one in graph.into(source.id) if not one.training]
                for one in inner:
                    found.setdefault((one.source, one.direct), one)
            elif _dataset(source) != dataset:
                merged = Edge(edge.source, node.id, last.how, edge.direct and last.direct, text=last.text)
                found.setdefault((edge.source, merged.direct), merged)
            elif edge.source not in seen:
                seen.add(edge.source)
                left.append((edge.source, last))  # type: ignore[arg-type]
    return list(found.values())


def _input(graph: Graph, namespace: str, edge: Edge) -> dict[str, Any]:
    source = graph.nodes[edge.source]
    told: dict[str, Any] = {"type": "DIRECT" if edge.direct else "INDIRECT", "subtype": edge.how}
    if edge.text:
        told["description"] = edge.text
    return {
        "namespace": namespace,
        "name": _dataset(source),
        "field": source.name or WHOLE,
        "transformations": [told],
    }


def _dataset(node: Node) -> str:
    return f"{FOLDERS[node.kind]}/{node.group}"


def _schema(fields: Iterable[tuple[str, Mapping[str, str]]]) -> dict[str, Any]:
    listed = []
    for name, facts in fields:
        told = {"name": name, "type": facts.get("type", ""), "description": facts.get("description", "")}
        listed.append({key: value for key, value in told.items() if value})
    return _facet("schema", fields=listed)


def _facet(name: str, **told: Any) -> dict[str, Any]:
    return {"_producer": _producer(), "_schemaURL": FACETS[name], **told}


def _producer() -> str:
    return f"urn:easyrec:{version().replace(' ', '-')}"
