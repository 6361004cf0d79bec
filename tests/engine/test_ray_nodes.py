"""Ray on more than one node: two, with object stores of their own, on this machine, in a cluster that runs already."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from gotd.corpus import Shard
from gotd.engine import run

# A head asks its nodes each half second, not each three, whether they live.
CHECKED = {"health_check_initial_delay_ms": 500, "health_check_period_ms": 500, "health_check_failure_threshold": 2}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes of one CPU each, apart from any other cluster of this machine; RAY_ADDRESS names it."""
    pytest.importorskip("ray")
    here = str(Path(__file__).parent)
    with pytest.MonkeyPatch.context() as patch, TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as place:
        patch.setenv("RAY_TMPDIR", place)
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("PYTHONPATH", os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])]))
        from ray.cluster_utils import Cluster

        head = {"num_cpus": 1, "include_dashboard": False, "_system_config": CHECKED}
        nodes = Cluster(initialize_head=True, head_node_args=head)
        try:
            nodes.add_node(num_cpus=1)
            patch.setenv("RAY_ADDRESS", nodes.address)
            yield nodes
        finally:
            nodes.shutdown()


def test_two_nodes_share_the_work_and_one_may_die(
    cluster: Any, shards: list[Shard], works: Any, tmp_path: Path
) -> None:
    """The parts are those of one process; what the lost node was at, the other does at the end."""
    (other,) = cluster.worker_nodes
    head = cluster.head_node.node_id
    parts, calls = {}, {}
    for name, doomed in (("inline", None), ("two nodes", None), ("one dies", other.node_id)):
        folder, log, meeting = tmp_path / name, tmp_path / f"{name}.log", tmp_path / f"{name}.pipe"
        log.touch()
        os.mkfifo(meeting)
        work = works.Located(None if name == "inline" else meeting, log, doomed)
        ran = run(shards, work, folder, "key", executor="inline" if name == "inline" else "ray", workers=2)
        assert (ran.lost, [one.shard for one in ran.done]) == ([], shards)
        parts[name] = {path.name: path.read_bytes() for path in folder.glob("[0-9]*")}
        calls[name] = [tuple(line.split()) for line in log.read_text().splitlines()]
    assert parts["inline"] == parts["two nodes"] == parts["one dies"]
    assert sorted(shard for shard, _ in calls["two nodes"]) == list("012345")
    assert {node for _, node in calls["two nodes"]} == {head, other.node_id}
    (lost,) = (shard for shard, node in calls["one dies"] if node == other.node_id)
    assert calls["one dies"][-1] == (lost, head)
    assert sorted(shard for shard, node in calls["one dies"] if node == head) == list("012345")
