"""Dagster's webserver, whose GraphQL endpoint takes commands in one form only: POSTs of JSON.

Dagster itself also runs mutations that come with a GET, or in the query of a POST of any type: what an image, a link or
a form of any other page can send.
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
        """Answer one GraphQL request; of POSTs, only those that are JSON through and through."""
        if request.method == "POST":
            if _media_type(request) != "application/json":
                return _refusal(415, "a POST to GraphQL has to be application/json")
            try:
                body = await request.json()
            except ValueError:
                return _refusal(400, "the body is not JSON")
            if not isinstance(body, dict) or not isinstance(body.get("query"), str):
                return _refusal(400, "the body has to be one JSON object with a query in it")
        return await super().graphql_http_endpoint(request)

    async def execute_graphql_request(
        self, request: Request, query: str, variables: dict[str, Any] | None, operation_name: str | None
    ) -> JSONResponse:
        """Run the operation, unless it would change something and came with a GET."""
        if request.method != "POST" and OperationType.MUTATION in operation_types(query):
            return _refusal(405, "a mutation has to be a POST of application/json", Allow="POST")
        return await super().execute_graphql_request(request, query, variables, operation_name)

    async def execute_graphql_subscription(
        self,
        websocket: WebSocket,
        operation_id: str,
        query: str,
        variables: dict[str, Any] | None,
        operation_name: str | None,
    ) -> tuple[Task[None] | None, GraphQLFormattedError | None]:
        """Begin a subscription; anything else has no business on a websocket."""
        if operation_types(query) - {OperationType.SUBSCRIPTION}:
            return None, GraphQLError("a websocket takes subscriptions only").formatted
        return await super().execute_graphql_subscription(websocket, operation_id, query, variables, operation_name)


def operation_types(query: str) -> set[OperationType]:
    """The types of all operations in a GraphQL document, whichever is to be run; none if it cannot be parsed."""
    try:
        document = parse(query)
    except GraphQLError:
        return set()
    return {node.operation for node in document.definitions if isinstance(node, OperationDefinitionNode)}


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip()


def _refusal(status: int, complaint: str, **headers: str) -> JSONResponse:
    return JSONResponse({"errors": [{"message": complaint}]}, status, headers=headers)
