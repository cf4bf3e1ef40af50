"""Dagster's web server, restricted so that its GraphQL endpoint accepts commands only as POSTs of JSON.

Dagster itself also runs mutations sent by GET, or in the query string of a POST of any type, which an image, a link or
a form on any other page can send.
"""

from __future__ import annotations

from asyncio import Task
from typing import Any

from dagster._core.workspace.context import WorkspaceProcessContext, WorkspaceRequestContext
from dagster_webserver.webserver import DagsterWebserver
from graphql import GraphQLError, GraphQLFormattedError, OperationDefinitionNode, OperationType, parse
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse
from starlette.websockets import WebSocket


class DagsterUi(DagsterWebserver[WorkspaceProcessContext, WorkspaceRequestContext]):
    """Dagster's UI and its API."""

    async def graphql_http_endpoint(self, request: Request) -> HTMLResponse | PlainTextResponse | JSONResponse:
        """Answer a GraphQL request; a POST must be entirely JSON."""
        if request.method == "POST":
            if _media_type(request) != "application/json":
                return _refusal(415, "a POST to GraphQL must be application/json")
            try:
                body = await request.json()
            except ValueError:
                return _refusal(400, "the body is not JSON")
            if not isinstance(body, dict) or not isinstance(body.get("query"), str):
                return _refusal(400, "the body must be one JSON object with a query")
        return await super().graphql_http_endpoint(request)

    async def execute_graphql_request(
        self, request: Request, query: str, variables: dict[str, Any] | None, operation_name: str | None
    ) -> JSONResponse:
        """Run the operation, unless it is a mutation sent by GET."""
        if request.method != "POST" and OperationType.MUTATION in operation_types(query):
            return _refusal(405, "a mutation must be a POST of application/json", Allow="POST")
        return await super().execute_graphql_request(request, query, variables, operation_name)

    async def execute_graphql_subscription(
        self,
        websocket: WebSocket,
        operation_id: str,
        query: str,
        variables: dict[str, Any] | None,
        operation_name: str | None,
    ) -> tuple[Task[None] | None, GraphQLFormattedError | None]:
        """Start a subscription; a websocket accepts nothing else."""
        if operation_types(query) - {OperationType.SUBSCRIPTION}:
            return None, GraphQLError("a websocket accepts only subscriptions").formatted
        return await super().execute_graphql_subscription(websocket, operation_id, query, variables, operation_name)


def operation_types(query: str) -> set[OperationType]:
    """Return the types of all operations in a GraphQL document, not only the selected one; none if it is invalid."""
    try:
        document = parse(query)
    except GraphQLError:
        return set()
    return {node.operation for node in document.definitions if isinstance(node, OperationDefinitionNode)}


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip()


def _refusal(status: int, complaint: str, **headers: str) -> JSONResponse:
    return JSONResponse({"errors": [{"message": complaint}]}, status, headers=headers)
