"""The update server on a real PostgreSQL: the tests of rows and of the server again, and several processes on one database.

The imported tests run with this module's database in place of a SQLite file.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect
from sqlalchemy.exc import InternalError

from host.db import DatabaseError, migrate, open_engine
from ota.store import tables
from tests.ota import support
from tests.ota.postgresql import Cluster
from tests.ota.test_configs import *  # noqa: F403
from tests.ota.test_metrics_api import *  # noqa: F403
from tests.ota.test_migrations import move
from tests.ota.test_processes import *  # noqa: F403
from tests.ota.test_server_access import *  # noqa: F403
from tests.ota.test_server_checkin import *  # noqa: F403
from tests.ota.test_server_downloads import *  # noqa: F403
from tests.ota.test_server_errors import *  # noqa: F403
from tests.ota.test_server_publish import *  # noqa: F403
from tests.ota.test_server_rollouts import *  # noqa: F403
from tests.ota.test_server_roots import *  # noqa: F403
from tests.ota.test_store import *  # noqa: F403


@pytest.fixture(autouse=True)
def on_postgresql(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(support, "new_database", lambda _folder: cluster.lend("ota.store"))
    monkeypatch.setattr(support, "empty_url", lambda _folder: cluster.create())
    yield
    cluster.take_back()


def test_the_tests_of_this_module_run_on_postgresql(tmp_path: Path, server: support.Plant) -> None:
    assert server.context.engine.dialect.name == "postgresql"
    assert not (tmp_path / "ota.db").exists()


MIGRATE = "import sys; from host.db import migrate, open_engine; migrate(open_engine(sys.argv[1]), 'ota.store')"


def test_processes_that_meet_an_empty_database_all_migrate_it(cluster: Cluster) -> None:
    arguments = [sys.executable, "-c", MIGRATE, cluster.create()]
    processes = [subprocess.Popen(arguments, stderr=subprocess.PIPE) for _ in range(4)]
    assert [(process.communicate(timeout=60)[1], process.returncode) for process in processes] == [(b"", 0)] * 4


def test_down_to_nothing_and_up_again_makes_the_same_tables(cluster: Cluster) -> None:
    engine = open_engine(cluster.create())
    migrate(engine, "ota.store")
    move(engine, command.downgrade, "base")
    assert [name for name in inspect(engine).get_table_names() if not name.startswith("schema_version")] == []
    migrate(engine, "ota.store")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_name": is_ours})
        assert compare_metadata(context, tables.metadata) == []
    engine.dispose()


def is_ours(name: str | None, kind: str, _parents: object) -> bool:
    return kind != "table" or not str(name).startswith("schema_version")


def test_failed_migration_leaves_nothing_behind(cluster: Cluster) -> None:
    engine = open_engine(cluster.create())
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE device (other INTEGER)")   # in the way of the migration's own
    with pytest.raises(DatabaseError, match=r"migration of ota\.store failed"):
        migrate(engine, "ota.store")
    assert inspect(engine).get_table_names() == ["device"]
    engine.dispose()


def test_commit_and_isolation_do_not_depend_on_the_clusters_defaults(cluster: Cluster) -> None:
    url = cluster.create()
    name = url.split("/")[3].split("?")[0]
    careless = open_engine(url)
    with careless.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(f"ALTER DATABASE {name} SET synchronous_commit = off")
        connection.exec_driver_sql(f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'")
    careless.dispose()
    engine = open_engine(url)
    with engine.connect() as connection:
        shown = [connection.exec_driver_sql(f"SHOW {setting}").scalar()
                 for setting in ("synchronous_commit", "transaction_isolation", "lock_timeout")]
    engine.dispose()
    assert shown == ["on", "read committed", "10s"]


def test_read_only_engine_refuses_writes(cluster: Cluster) -> None:
    engine = open_engine(cluster.lend("ota.store"), read_only=True)
    with engine.connect() as connection, pytest.raises(InternalError, match="read-only"):
        connection.execute(tables.device.delete())
    engine.dispose()
