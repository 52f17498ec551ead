"""Runs this part's migration scripts on the connection that `host.db.migrate` opened."""

from alembic import context

from host.db import run_migrations

run_migrations(context.config.attributes["connection"], context.config)
