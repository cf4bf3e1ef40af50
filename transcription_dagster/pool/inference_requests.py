"""SQL on `inference_requests`, the executors' queue.

A request is `queued`, then `doing` while an executor holds it, then `done` or `failed`. Each claim is a lease: the
executor's token (`holder`) and a number that grows with every claim (`claims`). `attempts` lists {executor, started_at,
ended}; an attempt in progress has no `ended`. Parameters are named. Times come from the database's clock, so the
machines' clocks need not agree. Every statement that changes a request's state notifies clients and executors.
"""

from __future__ import annotations

from typing import Final

_NOTIFY = "pg_notify('inference_requests', key)"

#: The request, if this lease is valid.
_MINE = "key = %(work)s AND state = 'doing' AND holder = %(holder)s AND claims = %(number)s"

FIND: Final = """
SELECT state, attempts, result, error, error_class,
       extract(epoch FROM coalesce(started_at, now()) - created_at)::float8 AS waited_seconds,
       extract(epoch FROM finished_at - started_at)::float8 AS gpu_seconds
  FROM inference_requests WHERE key = %(key)s
"""

#: Insert a request. A failed request, or one whose answer was released, starts over; a queued, running or done one is
#: left unchanged.
ASK: Final = f"""
INSERT INTO inference_requests (key, task, recording, run_id, queue, request)
VALUES (%(key)s, %(task)s, %(recording)s, %(run_id)s, %(queue)s, %(request)s)
ON CONFLICT (key) DO UPDATE
   SET state = 'queued', attempts = '[]', progress = 0, error = NULL, error_class = NULL, queue = excluded.queue,
       request = excluded.request, created_at = now(), started_at = NULL, finished_at = NULL
 WHERE inference_requests.state = 'failed' OR (inference_requests.state = 'done'
                                                 AND inference_requests.result IS NULL)
RETURNING {_NOTIFY}
"""  # noqa: S608  constants, here and below

#: Claim the oldest request. Rows that other executors are claiming are skipped.
CLAIM: Final = """
UPDATE inference_requests SET state = 'doing', holder = %(holder)s, claims = claims + 1
 WHERE key = (SELECT key FROM inference_requests WHERE state = 'queued' AND queue = ANY(%(queues)s)
               ORDER BY created_at, key LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING key, claims, task, recording, request, attempts
"""

#: Start an attempt. No row: the lease has expired. Repeating the statement changes nothing.
BEGIN: Final = f"""
UPDATE inference_requests SET progress = 0, started_at = now(),
   attempts = CASE WHEN attempts @> '[{{"ended": null}}]' THEN attempts
                   ELSE attempts || jsonb_build_array(jsonb_build_object('executor', %(executor)s::text,
                                                                         'started_at', now(), 'ended', NULL)) END
 WHERE {_MINE}
RETURNING attempts, {_NOTIFY}
"""  # noqa: S608

#: End a claim and its attempt, if one was begun. No row: the lease has expired, or its worker sent a heartbeat after
#: `beat`.
END: Final = f"""
UPDATE inference_requests SET
   attempts = %(attempts)s, state = %(state)s, result = %(result)s, error = %(error)s, error_class = %(error_class)s,
   progress = CASE WHEN %(state)s = 'done' THEN 1 ELSE progress END, holder = NULL,
   finished_at = CASE WHEN %(state)s IN ('done', 'failed') THEN now() END
 WHERE {_MINE}
   AND (%(beat)s::text IS NULL
        OR %(beat)s = (SELECT beats::text FROM transcription_workers WHERE token = %(holder)s))
RETURNING {_NOTIFY}
"""  # noqa: S608

PROGRESS: Final = f"UPDATE inference_requests SET progress = %(progress)s WHERE {_MINE}"  # noqa: S608

ATTEMPTS: Final = f"SELECT attempts FROM inference_requests WHERE {_MINE}"  # noqa: S608

LEASES: Final = "SELECT key, claims FROM inference_requests WHERE state = 'doing' AND holder = %(holder)s"

FOREIGN_LEASES: Final = """
SELECT r.key, r.holder, r.claims, w.token, w.place, w.pid, w.beats::text AS beat
  FROM inference_requests r LEFT JOIN transcription_workers w ON w.token = r.holder
 WHERE r.state = 'doing' AND r.holder <> %(holder)s
"""

#: Cancel all requests of a run and its retries. An executor that works on one notices that its lease has expired.
CANCEL: Final = f"""
UPDATE inference_requests
   SET state = 'failed', error = 'withdrawn', error_class = 'TranscriptionAborted', finished_at = now(), holder = NULL,
       attempts = CASE WHEN attempts @> '[{{"ended": null}}]'
                       THEN jsonb_set(attempts, '{{-1,ended}}', '"withdrawn"') ELSE attempts END
 WHERE run_id = %(run_id)s AND state IN ('queued', 'doing')
RETURNING {_NOTIFY}
"""  # noqa: S608

#: Answers, by far the largest values, are not needed after a successful run. The history of attempts is kept.
RELEASE: Final = """
UPDATE inference_requests SET result = NULL, request = '{}'
 WHERE run_id = %(run_id)s AND state = 'done' AND result IS NOT NULL
"""

#: Days for which a failed run can be retried without repeating its inference.
ANSWER_DAYS: Final = 7

PRUNE: Final = "DELETE FROM inference_requests WHERE finished_at < now() - make_interval(days => %(days)s)"
