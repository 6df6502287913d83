"""How Alembic reaches the store: by the connection that it is handed, in one transaction."""

from __future__ import annotations

from alembic import context

from triage.database.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    transactional_ddl=True,  # SQLite's too, in a transaction that was begun by hand
    render_as_batch=True,  # SQLite changes a table by making it anew
)
with context.begin_transaction():
    context.run_migrations()
