"""The JSON API for other programs, which the pages use as well: `/api`, described by `/api/openapi.json`."""
