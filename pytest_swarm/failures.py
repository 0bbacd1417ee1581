"""A test has failed: the session is told, and its cluster is archived before anything tidies it up."""

from __future__ import annotations

import pytest

from pytest_swarm.session import Session

SECTION = "swarm: the cluster when it failed"


def note(session: Session, item: pytest.Item, report: pytest.TestReport) -> None:
    """Remember the failure; with a cluster, archive that, at most once a test and `ARCHIVES_MAX` times a session.

    Nothing that goes wrong here adds to the failure: it is noted beside it.
    """
    session.any_failed = True
    cluster = getattr(item, "funcargs", {}).get("swarm")
    if cluster is None:
        return
    from pytest_swarm import failure_archive
    from pytest_swarm.cluster import Cluster

    test = item.nodeid.rpartition("/")[2]
    if not isinstance(cluster, Cluster) or test in {archive.test for archive in session.failure_archives}:
        return
    if len(session.failure_archives) >= failure_archive.ARCHIVES_MAX:
        session.failures_not_archived.append(f"{test}: {failure_archive.ARCHIVES_MAX} failures are archived already")
        return
    session.progress("archiving the failure")
    try:
        archive = failure_archive.take(cluster, test, session.failures_directory)
    except Exception as error:  # noqa: BLE001 - the test's own failure is what counts
        session.failures_not_archived.append(f"{test}: {error}")
    else:
        session.failure_archives.append(archive)
        report.sections.append((SECTION, f"{archive.path}\n{archive.digest}\n"))
    finally:
        session.progress.clear()
