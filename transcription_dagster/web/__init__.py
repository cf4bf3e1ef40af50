"""The web application in front of Dagster's UI: who may talk to it, the login, and Dagster's webserver behind them."""
