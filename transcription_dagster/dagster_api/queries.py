"""The GraphQL documents that the client sends."""

from __future__ import annotations

from typing import Final

JOBS: Final = """
query Jobs {
  repositoriesOrError {
    __typename
    ... on RepositoryConnection { nodes { name location { name } jobs { name } } }
    ... on Error { message }
  }
  workspaceOrError {
    __typename
    ... on Workspace { locationEntries { name locationOrLoadError { __typename ... on PythonError { message } } } }
    ... on Error { message }
  }
}
"""

#: One field of `add_partitions`: Dagster takes one key per call, but many calls per document.
_ADD_PARTITION = """
  key{number}: addDynamicPartition(
    repositorySelector: $repository, partitionsDefName: $name, partitionKey: $key{number}
  ) {{
    __typename
    ... on UnauthorizedError {{ message }}
    ... on PythonError {{ message }}
  }}"""


def add_partitions(count: int) -> str:
    """Return a document that adds `count` partition keys, given as the variables `key0`, `key1` and so on."""
    keys = "".join(f", $key{number}: String!" for number in range(count))
    fields = "".join(_ADD_PARTITION.format(number=number) for number in range(count))
    return f"mutation AddPartitions($repository: RepositorySelector!, $name: String!{keys}) {{{fields}\n}}"


LAUNCH_RUNS: Final = """
mutation LaunchRuns($runs: [ExecutionParams!]!) {
  launchMultipleRuns(executionParamsList: $runs) {
    __typename
    ... on LaunchMultipleRunsResult {
      launchMultipleRunsResult {
        __typename
        ... on LaunchRunSuccess { run { runId } }
        ... on RunConfigValidationInvalid { errors { message } }
        ... on Error { message }
      }
    }
    ... on Error { message }
  }
}
"""

RUNS: Final = """
query Runs($filter: RunsFilter!, $limit: Int, $cursor: String) {
  runsOrError(filter: $filter, limit: $limit, cursor: $cursor) {
    __typename
    ... on Runs { results { runId status endTime runConfig tags { key value } } }
    ... on Error { message }
  }
}
"""

#: A materialization without a run was reported from outside.
TRANSCRIPTS: Final = """
query Transcripts($partitions: [String!]!) {
  assetNodeOrError(assetKey: { path: ["transcript"] }) {
    __typename
    ... on AssetNode { latestMaterializationByPartition(partitions: $partitions) { partition runId } }
    ... on AssetNotFoundError { message }
  }
}
"""

TERMINATE_RUNS: Final = """
mutation TerminateRuns($ids: [String!]!) {
  terminateRuns(runIds: $ids) {
    __typename
    ... on TerminateRunsResult { terminateRunResults { __typename ... on Error { message } } }
    ... on Error { message }
  }
}
"""

MATERIALIZATIONS: Final = """
query Materializations($id: ID!) {
  runGroupOrError(runId: $id) {
    __typename
    ... on RunGroup {
      runs {
        assetMaterializations {
          timestamp
          assetKey { path }
          metadataEntries {
            label
            ... on FloatMetadataEntry { floatValue }
            ... on IntMetadataEntry { intValue }
            ... on UrlMetadataEntry { url }
          }
        }
      }
    }
    ... on Error { message }
  }
}
"""

_ERROR: Final = "error { className message causes { className message } }"

EVENTS: Final = f"""
query Events($id: ID!, $cursor: String) {{
  logsForRun(runId: $id, afterCursor: $cursor, limit: 1000) {{
    __typename
    ... on EventConnection {{
      cursor
      hasMore
      events {{
        __typename
        ... on ExecutionStepFailureEvent {{ stepKey failureMetadata {{ description }} {_ERROR} }}
        ... on RunFailureEvent {{ message {_ERROR} }}
      }}
    }}
    ... on Error {{ message }}
  }}
}}
"""

#: One field of `count_runs`.
_COUNT = """
  {status}: runsOrError(filter: {{statuses: [{status}]}}) {{
    __typename
    ... on Runs {{ count }}
    ... on Error {{ message }}
  }}"""


def count_runs(statuses: tuple[str, ...]) -> str:
    """Return a document that counts the runs in each of `statuses`."""
    return "query CountRuns {" + "".join(_COUNT.format(status=status) for status in statuses) + "\n}"


DAEMONS: Final = """
query Daemons {
  instance { daemonHealth { allDaemonStatuses { daemonType required healthy lastHeartbeatErrors { message } } } }
}
"""
