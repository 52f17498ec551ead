"""What Alembic runs; the connection and the settings come from `host.db.migrate`."""

from alembic import context

from host.db import run_migrations

run_migrations(context.config.attributes["connection"], context.config)
