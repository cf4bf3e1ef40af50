"""Refinement in Message Batches.

`workflow` asks, submits, collects and uses the answers. `batch_plans` plans the requests and assembles the results
without the database; `batch_store` keeps requests and batches in it.
"""
