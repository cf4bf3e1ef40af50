"""The web application in front of Dagster's UI: request checks, the login, and Dagster's web server behind them."""
