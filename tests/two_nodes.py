"""Two pretended nodes on this machine, for root: whatever their ranks say to each other crosses a network cable.

Each node is a network namespace with a host name, an address and a /dev/shm of its own, joined to the other by a veth
pair. mpirun runs on the first node and starts its daemon on the second through a stand-in for ssh. Processes and files
are those of the machine, so a test sees and kills processes by their id, and folders are shared as on a cluster.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from helpers import Ended, Launcher, is_alive, wait_until
from ranks import ranks_among

_CABLE = "eth0"  # Its end on either node.
_NAMESPACES = Path("/run/netns")
_DAEMONS = ("prterun", "prted")
# mpirun and the agent it starts both put the agent into a group, and mpirun warns if it is the second to do so.
_GRUMBLING = re.compile(r"^.* plm:ssh: Warning: setpgid\(\d+,\d+\) failed in parent .*\n", re.M)

# Like ssh: a host, and the words of a command for a shell. Mounts made here are seen by that command alone.
_AGENT = """#!/bin/sh
node=$1
shift
exec ip netns exec "$node" unshare --uts sh -c '
    hostname "$1" && mount --bind "$2" /etc/hosts && mount -t tmpfs tmpfs /dev/shm && eval "$3"
' agent "$node" {hosts} "$*"
"""


def why_not(mpirun_command: str) -> str:
    """Why there cannot be two nodes on this machine; empty when there can.

    Args:
        mpirun_command: The mpirun that would run on them.
    """
    if os.geteuid() != 0:
        return "two nodes on one machine need root"
    for command, package in (("ip", "iproute2"), ("unshare", "util-linux")):
        if shutil.which(command) is None:
            return f"two nodes on one machine need the command {command}: apt install {package}"
    version = subprocess.run([mpirun_command, "--version"], capture_output=True, text=True, timeout=30).stdout
    if not (match := re.search(r"\(Open MPI\) (\d+)", version)) or int(match[1]) < 5:
        return f"two nodes on one machine need Open MPI 5 or newer, which {mpirun_command} is not"
    trial = _host(0)
    with _alone():
        try:
            _ip("netns", "add", trial)
            _ip("-n", trial, "link", "add", _CABLE, "type", "veth", "peer", "name", "peer")
            _ip("netns", "exec", trial, "unshare", "--uts", "hostname", trial)
        except OSError as error:
            return f"this machine does not permit what two nodes need: {error}"
        finally:
            _remove(trial)
    return ""


class TwoNodes:
    """Two nodes that exist; `two_nodes` makes them.

    Args:
        launcher: Starts what runs on them.
        mpirun_command: The mpirun of Open MPI 5 or newer.
        hosts: The names of the nodes.
        agent: The stand-in for ssh.
    """

    def __init__(self, launcher: Launcher, mpirun_command: str, hosts: tuple[str, str], agent: Path) -> None:
        self.hosts = hosts
        self._launcher = launcher
        self._mpirun_command = mpirun_command
        self._agent = agent

    def start(
        self,
        ranks_per_node: int,
        *arguments: str | Path,
        extra_mpirun_args: Iterable[str] = (),
        hosts: Sequence[str] = (),
        **variables: str,
    ) -> subprocess.Popen[str]:
        """Start Python on ranks of each node, with mpirun on the first; signals to the process returned reach mpirun.

        Args:
            ranks_per_node: The number of ranks on each node.
            arguments: The arguments of Python.
            extra_mpirun_args: More options of mpirun.
            hosts: The nodes to use, that of mpirun first. By default both are used.
            variables: Variables of the environment.
        """
        hosts = hosts or self.hosts
        places = ",".join(f"{host}:{ranks_per_node}" for host in hosts)
        # Never allow oversubscription here: with it, mpirun puts the ranks of both nodes on the first.
        placing = ["--host", places, "-N", str(ranks_per_node), "--bind-to", "none"]
        command = [self._mpirun_command, *placing, *extra_mpirun_args, sys.executable, *map(str, arguments)]
        settings = {
            "OMPI_ALLOW_RUN_AS_ROOT": "1",
            "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
            "OMPI_MCA_mpi_yield_when_idle": "1",  # There are more ranks than cores.
            "OMPI_MCA_pml": "ob1",
            "OMPI_MCA_btl": "self,sm,tcp",
            "OMPI_MCA_btl_tcp_if_include": _CABLE,
            "PRTE_MCA_prte_if_include": _CABLE,
            "PRTE_MCA_plm": "ssh",
            "PRTE_MCA_plm_ssh_agent": str(self._agent),
            "TMPDIR": str(self._agent.parent),  # What killed daemons leave behind ends with the test.
        }
        return self._launcher.start(self._agent, hosts[0], "exec", shlex.join(command), **(settings | variables))

    def run(
        self,
        ranks_per_node: int,
        *arguments: str | Path,
        timeout: float = 90.0,
        extra_mpirun_args: Iterable[str] = (),
        hosts: Sequence[str] = (),
        **variables: str,
    ) -> Ended:
        """Run Python on ranks of each node to its end; see `start`."""
        process = self.start(ranks_per_node, *arguments, extra_mpirun_args=extra_mpirun_args, hosts=hosts, **variables)
        return self.finish(process, timeout)

    def finish(self, process: subprocess.Popen[str], timeout: float = 90.0) -> Ended:
        """Wait for the end of a process that `start` has started."""
        ended = self._launcher.finish(process, timeout)
        return replace(ended, err=_GRUMBLING.sub("", ended.err))

    def bytes_crossed(self) -> int:
        """How many bytes have crossed the cable so far, in both directions; starting mpirun alone takes some 30 kB."""
        (link,) = json.loads(_ip("-n", self.hosts[0], "-json", "-statistics", "link", "show", "dev", _CABLE))
        return sum(int(link["stats64"][direction]["bytes"]) for direction in ("rx", "tx"))

    def ranks_on(self, host: str) -> list[int]:
        """The processes of the ranks that run on a node, by rank, without those that they started."""
        return [process for _, process in sorted(ranks_among(_processes_on(host)).items())]

    def daemons_on(self, host: str) -> list[int]:
        """The processes with which mpirun holds a node: prted on the second; on the first, mpirun itself."""
        return [process for process in _processes_on(host) if _name(process) in _DAEMONS]

    def kill_ranks_on(self, host: str) -> None:
        """Kill all ranks of a node and leave its daemon, which tells the others."""
        _kill(self.ranks_on(host))

    def kill_node(self, host: str) -> None:
        """Kill everything on a node; those connected to it are told, unlike after the loss of a real node."""
        _kill(self.daemons_on(host) + _processes_on(host))

    def cut_cable(self) -> None:
        """Let nothing cross any more, and tell nobody, as when a node has lost its power."""
        _ip("-n", self.hosts[1], "link", "set", _CABLE, "down")


@contextlib.contextmanager
def two_nodes(launcher: Launcher, mpirun_command: str) -> Iterator[TwoNodes]:
    """Two nodes, for as long as this context; nothing of them stays, nor anything that runs on them.

    Args:
        launcher: Starts what runs on them, in its folder.
        mpirun_command: The mpirun of Open MPI 5 or newer.
    """
    hosts = (_host(1), _host(2))
    addresses = dict(zip(hosts, ("10.23.45.1", "10.23.45.2"), strict=True))  # Seen from nowhere else.
    with contextlib.ExitStack() as ending:
        ending.enter_context(_alone())
        _remove_abandoned()
        for host in hosts:
            ending.callback(_remove, host)
            _ip("netns", "add", host)
            _ip("-n", host, "link", "set", "lo", "up")
        _ip("link", "add", _CABLE, "netns", hosts[0], "type", "veth", "peer", "name", _CABLE, "netns", hosts[1])
        for host, address in addresses.items():
            _ip("-n", host, "address", "add", f"{address}/24", "dev", _CABLE)
            _ip("-n", host, "link", "set", _CABLE, "up")
        folder = launcher.folder / ".two_nodes"
        folder.mkdir()
        known = folder / "hosts"
        known.write_text("\n".join(["127.0.0.1 localhost", *(f"{addresses[host]} {host}" for host in hosts)]) + "\n")
        agent = folder / "agent"
        agent.write_text(_AGENT.format(hosts=shlex.quote(str(known))))
        agent.chmod(0o755)
        yield TwoNodes(launcher, mpirun_command, hosts, agent)


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Wait until no other process of tests has nodes, because `ip netns` does not bear two changes at once."""
    with (Path(tempfile.gettempdir()) / "evo-two-nodes.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _host(number: int) -> str:
    # The name has the id of the test's process, so that what a killed test left behind is told from what is in use.
    return f"evo{os.getpid()}node{number}"


def _remove_abandoned() -> None:
    """Remove the nodes of tests that were killed before they could."""
    for namespace in _NAMESPACES.glob("evo*node?"):
        match = re.fullmatch(r"evo(\d+)node\d", namespace.name)
        if match and not is_alive(int(match[1])):
            _remove(namespace.name)


def _remove(host: str) -> None:
    """Remove a node, with what runs on it and the cable."""
    if not (_NAMESPACES / host).exists():
        return
    try:
        # A network lives as long as a process in it, and a process may start another one before it is killed.
        wait_until(lambda: _kill(_processes_on(host)) == 0)
    finally:
        _ip("netns", "del", host)


def _ip(*words: str) -> str:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, timeout=30)
    if done.returncode:
        raise OSError(f"ip {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


def _kill(processes: Sequence[int]) -> int:
    """Kill processes; returns how many there were."""
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    return len(processes)


def _processes_on(host: str) -> list[int]:
    return [process for process in map(int, _ip("netns", "pids", host).split()) if is_alive(process)]


def _name(process: int) -> str:
    try:
        return Path(f"/proc/{process}/comm").read_text().strip()
    except OSError:
        return ""
