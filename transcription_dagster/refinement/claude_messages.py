"""Convert requests and replies to and from the Messages API, for single messages and batches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transcription_dagster.errors import RefinementUnavailable
from transcription_dagster.refinement.messages import MessageReply, MessageRequest, Usage

if TYPE_CHECKING:
    from anthropic.types import Message, TextBlockParam
    from anthropic.types import Usage as BilledUsage
    from anthropic.types.message_create_params import MessageCreateParamsNonStreaming


def message_params(request: MessageRequest) -> MessageCreateParamsNonStreaming:
    """Return the body of a request.

    It has no sampling parameters, no prefilled answer and no tools: current models reject the first two, and some
    reject forced tool calls. The last part of the system prompt ends the cached prefix.
    """
    *opening, last = request.system
    system: list[TextBlockParam] = [{"type": "text", "text": part} for part in opening]
    system.append({"type": "text", "text": last, "cache_control": {"type": "ephemeral", "ttl": request.cache}})
    params: MessageCreateParamsNonStreaming = {
        "model": request.model,
        "max_tokens": request.max_tokens,
        "system": system,
        "messages": [{"role": "user", "content": request.user}],
        "output_config": {"format": {"type": "json_schema", "schema": dict(request.schema)}},
    }
    if request.effort is not None:
        params["output_config"] = {**params["output_config"], "effort": request.effort}
    return params


def reply_of(message: Message) -> MessageReply:
    """Return the text of a message: only its text blocks, because the first block may be the model's thinking.

    Raises `RefinementUnavailable` for anything but a message: the SDK does not validate responses with status 200.
    """
    if getattr(message, "type", None) != "message" or not message.usage:
        raise RefinementUnavailable("Claude's answer was not a message of its API")
    text = "".join(block.text for block in message.content or () if block.type == "text")
    return MessageReply(text, message.stop_reason or "", _usage(message.usage), message.model)


def _usage(billed: BilledUsage) -> Usage:
    creation = billed.cache_creation
    written_1h = creation.ephemeral_1h_input_tokens if creation else 0
    written = billed.cache_creation_input_tokens or 0
    return Usage(
        input=billed.input_tokens,
        output=billed.output_tokens,
        cache_read=billed.cache_read_input_tokens or 0,
        cache_write_5m=max(written - written_1h, 0),
        cache_write_1h=written_1h,
    )
