"""Refinement at once: the windows of one recording asked about in parallel, within a budget."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

from transcription_dagster.errors import UnusableReply
from transcription_dagster.messages import MessageSender, Price, Usage
from transcription_dagster.model import Term, Transcript
from transcription_dagster.refinement.assembly import Answers, Prepared, assemble, prepare, unrefined
from transcription_dagster.refinement.budget import Budget
from transcription_dagster.refinement.replies import read_reply
from transcription_dagster.refinement.results import Refined, RefinementSettings, Status, WindowFailure
from transcription_dagster.text.windows import Window, split_window

NO_CREDENTIALS = "no credentials for Claude: only the vocabulary's variants are corrected"
SWITCHED_OFF = "refinement is switched off: only the vocabulary's variants are corrected"


def refine(
    transcript: Transcript,
    terms: Sequence[Term],
    client: MessageSender | None,
    settings: RefinementSettings,
    *,
    own: Sequence[Term] = (),
    price: Price | None = None,
    spent_today: float = 0.0,
    without_client: str = NO_CREDENTIALS,
) -> Refined:
    """Correct a transcript by its vocabulary and then by Claude, whose edits are made only where they fit.

    The vocabulary is `terms`, the same for every recording, and the recording's `own`.

    Without a `client`, or over budget, the vocabulary alone is applied and the status says so; `without_client` is the
    note that then tells why. `price` and `spent_today`, in dollars, are what the budget counts with.

    Raises `RefinementUnavailable` if Claude cannot be reached, `SpendLimitReached` if the account may spend no more,
    and `RefinementFailed` if the request is refused or no window is answered.
    """
    prepared = prepare(transcript, terms, settings, own=own)
    if client is None:
        return unrefined(prepared, Status.VOCABULARY_ONLY, without_client)
    conversation = _Conversation(prepared, client, settings, Budget(settings, price, spent_today))
    if refusal := conversation.reserve(prepared.windows):
        return unrefined(prepared, Status.OVER_BUDGET, f"Claude was not asked: {refusal}")
    return assemble(prepared, conversation.ask(prepared.windows), settings, price)


class _Conversation:
    """The requests about one recording."""

    def __init__(self, prepared: Prepared, client: MessageSender, settings: RefinementSettings, budget: Budget) -> None:
        self._prepared = prepared
        self._client = client
        self._settings = settings
        self._budget = budget

    def reserve(self, windows: Sequence[Window]) -> str | None:
        """Set aside what the windows will cost, or say why they must not be asked about."""
        return self._budget.take([self._prepared.request(window, self._settings) for window in windows])

    def ask(self, windows: Sequence[Window]) -> Answers:
        """Ask about every window: one first, so that the others find its prefix in the cache, then in parallel.

        An error that is not one window's alone ends it; what is not yet sent is not sent.
        """
        if not windows:
            return Answers({})
        gathered = [self._ask(windows[0])]
        with ThreadPoolExecutor(self._settings.parallel_windows, thread_name_prefix="refine") as threads:
            futures = [threads.submit(self._ask, window) for window in windows[1:]]
            wait(futures, return_when=FIRST_EXCEPTION)
            threads.shutdown(wait=True, cancel_futures=True)
        return _together(gathered + [future.result() for future in futures if not future.cancelled()])

    def _ask(self, window: Window) -> Answers:
        """Ask about a window, and about its halves if the answer cannot be used.

        Halves heal an answer that was too long, and keep a refusal or a broken answer to the words that cause it.
        """
        first = self._ask_once(window)
        if not first.failures:
            return first
        halves = split_window(self._prepared.words, window)
        if refusal := self.reserve(halves):
            failure = WindowFailure(window.first, window.stop, f"{first.failures[0].reason}, and {refusal}")
            return Answers({}, (failure,), first.usage)
        return _together([Answers({}, (), first.usage), *(self._ask_once(half) for half in halves)])

    def _ask_once(self, window: Window) -> Answers:
        reply = self._client.send(self._prepared.request(window, self._settings))
        try:
            return Answers({window: read_reply(reply)}, (), reply.usage)
        except UnusableReply as error:
            return Answers({}, (WindowFailure(window.first, window.stop, str(error)),), reply.usage)


def _together(parts: Sequence[Answers]) -> Answers:
    return Answers(
        {window: answer for part in parts for window, answer in part.answered.items()},
        tuple(failure for part in parts for failure in part.failures),
        sum((part.usage for part in parts), Usage()),
    )
