"""SQL on the table of inference requests, `inference_requests`, for clients and executors.

An attempt without an end belongs to an executor that died; the next attempt records that. Every attempt holds the lease
of its job: with an expired lease it cannot start, and its report is refused. Parameters are named. Times come from the
database's clock, so that machines need not agree on the time.
"""

from __future__ import annotations

from typing import Final

from transcription_dagster.pool.leases import MINE

#: Attempts that may lose their executor before the request fails.
MAX_ATTEMPTS: Final = 3

#: End of an attempt whose executor died.
LOST: Final = "the executor was lost"
#: Start of the end of an attempt that left the device unusable.
BROKE: Final = "the device broke"
#: Start of the end of an attempt whose executor cannot work on its machine.
UNFIT: Final = "the executor cannot work"

WAITING: Final = "SELECT request, attempts FROM inference_requests WHERE key = %(key)s AND state IN ('queued', 'doing')"

FIND: Final = """
SELECT key, state, progress, attempts, result, error, error_class, queue,
       extract(epoch FROM coalesce(started_at, now()) - created_at)::float8 AS waited_seconds,
       extract(epoch FROM finished_at - started_at)::float8 AS gpu_seconds
  FROM inference_requests WHERE key = %(key)s
"""

#: Insert a request. A failed request, or one whose answer was released, starts over; a queued, running or done one is
#: left unchanged.
ASK: Final = """
INSERT INTO inference_requests (key, task, recording, run_id, queue, request)
VALUES (%(key)s, %(task)s, %(recording)s, %(run_id)s, %(queue)s, %(request)s)
ON CONFLICT (key) DO UPDATE
   SET state = 'queued', attempts = '[]', progress = 0, error = NULL, error_class = NULL, queue = excluded.queue,
       request = excluded.request, created_at = now(), started_at = NULL, finished_at = NULL, lease = NULL
 WHERE inference_requests.state = 'failed' OR (inference_requests.state = 'done'
                                                 AND inference_requests.result IS NULL)
RETURNING key
"""

#: Start an attempt. No row: the request is done, canceled or unknown, or another executor has the job.
#: The job is locked, so that it cannot move to another executor meanwhile.
BEGIN: Final = (
    MINE  # noqa: S608  constants
    + """
UPDATE inference_requests SET
   attempts = (SELECT coalesce(jsonb_agg(CASE WHEN a->>'ended' IS NULL
                                              THEN a || '{"ended": "the executor was lost"}' ELSE a END), '[]')
                 FROM jsonb_array_elements(attempts) a)
              || jsonb_build_array(jsonb_build_object('executor', %(executor)s::text, 'started_at', now(),
                                                      'ended', NULL)),
   state = 'doing', progress = 0, started_at = now(), lease = %(lease)s
 WHERE key = %(key)s AND state IN ('queued', 'doing') AND EXISTS (SELECT 1 FROM mine)
RETURNING request, attempts, recording, run_id
"""
)

#: End the running attempt; `state` is the new state of the request. No row: the attempt's lease has expired.
END: Final = """
UPDATE inference_requests SET
   attempts = jsonb_set(attempts, ARRAY[(jsonb_array_length(attempts) - 1)::text, 'ended'], to_jsonb(%(ended)s::text)),
   state = %(state)s, result = %(result)s, error = %(error)s, error_class = %(error_class)s,
   progress = CASE WHEN %(state)s = 'done' THEN 1 ELSE progress END,
   finished_at = CASE WHEN %(state)s IN ('done', 'failed') THEN now() END, lease = NULL
 WHERE key = %(key)s AND state = 'doing' AND lease = %(lease)s
RETURNING key
"""

PROGRESS: Final = """
UPDATE inference_requests SET progress = %(progress)s
 WHERE key = %(key)s AND state = 'doing' AND lease = %(lease)s
"""

CANCEL: Final = """
UPDATE inference_requests
   SET state = 'failed', error = 'withdrawn', error_class = 'TranscriptionAborted', finished_at = now()
 WHERE key = %(key)s AND state IN ('queued', 'doing')
"""

OF_RUN: Final = "SELECT key FROM inference_requests WHERE run_id = %(run_id)s AND state IN ('queued', 'doing')"

LIVE_JOB: Final = """
SELECT id FROM procrastinate_jobs WHERE queueing_lock = %(key)s AND status IN ('todo', 'doing') ORDER BY id DESC LIMIT 1
"""

NOTIFY: Final = "SELECT pg_notify('inference_requests', %(key)s)"

#: After a successful run nothing needs its answers, by far the largest values. The history of attempts stays.
RELEASE: Final = """
UPDATE inference_requests SET result = NULL, request = '{}'
 WHERE run_id = %(run_id)s AND state = 'done' AND result IS NOT NULL
"""

#: Days for which a failed run can be retried without repeating its inference.
ANSWER_DAYS: Final = 7

PRUNE: Final = "DELETE FROM inference_requests WHERE finished_at < now() - make_interval(days => %(days)s)"
