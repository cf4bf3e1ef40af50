"""Direct refinement: send the windows of one recording in parallel, within a budget."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

from transcription_dagster.errors import AnswerLost, TranscriptionError, UnusableReply
from transcription_dagster.model import Term, Transcript
from transcription_dagster.refinement.accounts import Account, MemoryAccount, estimates, request_digest
from transcription_dagster.refinement.assembly import Answers, Prepared, assemble, prepare, unrefined
from transcription_dagster.refinement.messages import MessageReply, MessageRequest, MessageSender, Price, TokenUsage
from transcription_dagster.refinement.prompt import is_usable, read_reply
from transcription_dagster.refinement.results import Refined, RefinementSettings, RefinementStatus, WindowFailure
from transcription_dagster.refinement.text_windows import TextWindow, split_window

NO_CREDENTIALS = "no credentials for Claude: only the vocabulary's variants are corrected"
SWITCHED_OFF = "refinement is switched off: only the vocabulary's variants are corrected"


def refine_directly(
    transcript: Transcript,
    terms: Sequence[Term],
    client: MessageSender | None,
    settings: RefinementSettings,
    *,
    own_terms: Sequence[Term] = (),
    price: Price | None = None,
    account: Account | None = None,
    without_client: str = NO_CREDENTIALS,
) -> Refined:
    """Correct a transcript with its vocabulary and then with Claude, applying only edits that pass validation.

    The vocabulary consists of the shared `terms` and the recording's `own_terms`.

    Without a `client`, or over budget, only the vocabulary is applied and the status says so; `without_client` is the
    note with the reason. Every reply is entered into the `account` as it arrives, and kept replies are reused. Without
    an account the budget applies to this call alone.

    Raises `RefinementUnavailable` if Claude cannot be reached, `SpendLimitReached` if the account's limit is reached,
    and `RefinementFailed` if the request is rejected or no window is answered.
    """
    prepared = prepare(transcript, terms, settings, own_terms=own_terms)
    if client is None:
        return unrefined(prepared, RefinementStatus.VOCABULARY_ONLY, without_client)
    conversation = _Conversation(prepared, client, settings, price, account or MemoryAccount(settings.spending))
    if refusal := conversation.reserve(prepared.windows):
        return unrefined(prepared, RefinementStatus.OVER_BUDGET, f"Claude was not asked: {refusal}")
    return assemble(prepared, conversation.ask(prepared.windows), settings, price)


class _Conversation:
    """The requests for one recording."""

    def __init__(
        self,
        prepared: Prepared,
        client: MessageSender,
        settings: RefinementSettings,
        price: Price | None,
        account: Account,
    ) -> None:
        self._prepared = prepared
        self._client = client
        self._settings = settings
        self._price = price
        self._account = account

    def reserve(self, windows: Sequence[TextWindow]) -> str | None:
        """Reserve the cost of the unanswered windows, or return why they must not be sent."""
        requests = self._requests(windows)
        for digest in self._account.paid_replies(requests):
            del requests[digest]
        if not requests or self._price is None:
            return None
        costs = estimates(list(requests.values()), self._price)
        return self._account.reserve(dict(zip(requests, costs, strict=True)))

    def ask(self, windows: Sequence[TextWindow]) -> Answers:
        """Send every window: one first, so that the others find the prefix in the cache, then the rest in parallel.

        An error that concerns more than one window, or a cancelled run, stops it; windows not yet sent are not sent.
        """
        if not windows:
            return Answers({})
        gathered = [self._ask(windows[0])]
        with ThreadPoolExecutor(self._settings.parallel_windows, thread_name_prefix="refine") as threads:
            try:
                futures = [threads.submit(self._ask, window) for window in windows[1:]]
                wait(futures, return_when=FIRST_EXCEPTION)
            finally:
                # Also when the run is cancelled: what is not sent costs nothing.
                threads.shutdown(wait=True, cancel_futures=True)
        return _together(gathered + [future.result() for future in futures if not future.cancelled()])

    def _requests(self, windows: Sequence[TextWindow]) -> dict[str, MessageRequest]:
        requests = [self._prepared.request(window, self._settings) for window in windows]
        return {request_digest(request): request for request in requests}

    def _ask(self, window: TextWindow) -> Answers:
        """Send a window, and its halves if the answer is unusable.

        Halves fix an answer that was too long, and confine a refusal or a broken answer to the words that cause it.
        """
        first = self._ask_once(window)
        if not first.failures:
            return first
        halves = split_window(self._prepared.words, window)
        if refusal := self.reserve(halves):
            failure = WindowFailure(window.first, window.stop, f"{first.failures[0].reason}, and {refusal}")
            return Answers({}, (failure,), first.usage, first.kept)
        answers = (self._ask_once(half) for half in halves)
        return _together([Answers({}, (), first.usage, first.kept), *answers])

    def _ask_once(self, window: TextWindow) -> Answers:
        [(digest, request)] = self._requests([window]).items()
        earlier = self._account.paid_replies([digest])
        reply = earlier[digest] if earlier else self._paid_reply(digest, request)
        usage = TokenUsage() if earlier else reply.usage
        try:
            return Answers({window: read_reply(reply)}, (), usage, len(earlier))
        except UnusableReply as error:
            return Answers({}, (WindowFailure(window.first, window.stop, str(error)),), usage, len(earlier))

    def _paid_reply(self, digest: str, request: MessageRequest) -> MessageReply:
        """Send a request, and record its reply before using it."""
        self._account.mark_sent(digest)
        try:
            reply = self._client.send(request)
        except AnswerLost:
            # It may have been billed: the reservation stays, and counts as spent when the account is closed.
            raise
        except TranscriptionError:
            self._account.release(digest)
            raise
        dollars = self._price.dollars(reply.usage) if self._price else None
        self._account.record(digest, reply, dollars, usable=is_usable(reply))
        return reply


def _together(parts: Sequence[Answers]) -> Answers:
    return Answers(
        {window: answer for part in parts for window, answer in part.answered.items()},
        tuple(failure for part in parts for failure in part.failures),
        sum((part.usage for part in parts), TokenUsage()),
        sum(part.kept for part in parts),
    )
