"""A real Slurm of two pretended nodes with four pretended GPUs each on this machine, for root.

munged, slurmctld and one slurmd per node are started by hand from Debian's packages. Everything that they write is in
one temporary folder, and each node is a host name and a few mounts of its own, which end with its last process.
Processes, files and the network are those of the machine.
"""

from __future__ import annotations

import contextlib
import glob
import os
import re
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from helpers import Ended, Launcher, is_alive, wait_until

NODES = ("node1", "node2")
_PACKAGES = "slurm-wlm slurmctld slurmd munge libpmix2"
_DEVICES = ("null", "zero", "full", "random")  # Harmless stand-ins for four GPUs.
_PMIX = "/usr/lib/*/pmix2/lib"
_ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "DEADLINE")

_CONFIGURATION = """
ClusterName=pretended
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={control_port}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
TmpFS={folder}/tmp
MailProg=/bin/true
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
GresTypes=gpu
ReturnToService=2
KillWait=5
CompleteWait=0
BatchStartTimeout=20
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=1
MaxArraySize=100
NodeName={nodes[0]} NodeAddr=127.0.0.1 Port={ports[0]} CPUs=32 RealMemory=100000 Gres=gpu:fake:4
NodeName={nodes[1]} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=32 RealMemory=100000 Gres=gpu:fake:4
PartitionName=all Nodes={nodes[0]},{nodes[1]} Default=YES MaxTime=INFINITE State=UP
"""

# Debian's Slurm looks for a libpmix.so that its packages do not have: the node sees a copy of the folder that has it.
# Every node has a TmpFS and a /dev/shm of its own, or the PMIx servers of two nodes would use the same sockets.
_ON_NODE = """
hostname "$1" && mount --bind "$2/pmix" "$3" && mount -t tmpfs tmpfs "$2/tmp" && mount -t tmpfs tmpfs /dev/shm &&
exec slurmd -D -f "$2/slurm.conf" -N "$1"
"""


def why_not() -> str:
    """Why there cannot be a Slurm on this machine; empty when there may."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "a Slurm of pretended nodes needs Linux and root"
    commands = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "unshare", "setpriv")
    absent = [command for command in commands if shutil.which(command, path=_path()) is None]
    if absent or not glob.glob(f"{_PMIX}/libpmix.so.2"):
        return f"a Slurm needs {', '.join(absent) or 'libpmix.so.2'}: apt install --no-install-recommends {_PACKAGES}"
    tried = subprocess.run(
        ["unshare", "--uts", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/tmp"], capture_output=True
    )
    return f"this machine does not permit pretended nodes: {tried.stderr.decode()}" if tried.returncode else ""


class Slurm:
    """A Slurm that runs; `running_slurm` makes it.

    Args:
        folder: The folder with its configuration, state and logs.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def variables(self) -> dict[str, str]:
        """What commands need in their environment, and jobs inherit: this Slurm, and MPI by way of this machine."""
        return {
            "SLURM_CONF": str(self.folder / "slurm.conf"),
            "PATH": _path(),
            "TMPDIR": str(self.folder / "tmp"),  # What killed ranks leave behind is removed with the nodes.
            "OMPI_ALLOW_RUN_AS_ROOT": "1",
            "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
            "OMPI_MCA_btl": "^ofi",  # It takes a second to find out that it is of no use here.
            "OMPI_MCA_mpi_yield_when_idle": "1",  # There are more ranks than cores.
            "OMPI_MCA_btl_tcp_if_include": "lo",
        }

    def command(self, launcher: Launcher, *words: str | Path, **variables: str) -> Ended:
        """Run one of Slurm's commands to its end, in the folder of a launcher.

        Args:
            launcher: The launcher, which ends with its test what this starts, jobs included.
            words: The words of the command.
            variables: More variables of the environment.
        """
        return launcher.run(*words, timeout=30, **(self.variables() | variables))

    def submit(self, launcher: Launcher, *words: str | Path, **variables: str) -> str:
        """Submit a batch job; returns its number, which is that of all its tasks for an array.

        Args:
            launcher: The launcher, which ends with its test what this starts.
            words: Options of sbatch, the script, and its arguments.
            variables: More variables of the environment.
        """
        ended = self.command(launcher, "sbatch", "--parsable", *words, **variables)
        assert ended.status == 0, ended
        return ended.out.strip()

    def facts(self, job: str) -> list[dict[str, str]]:
        """What scontrol shows of a job, or of each task of an array."""
        shown = self._run("scontrol", "--oneliner", "show", "job", job).splitlines()
        return [dict(word.split("=", 1) for word in line.split() if "=" in word) for line in shown if line.strip()]

    def states(self, job: str) -> set[str]:
        """The states of a job: one, unless it is an array."""
        return {facts["JobState"] for facts in self.facts(job)}

    def wait(self, job: str, seconds: float = 150.0) -> int:
        """Wait for the end of a job; returns its exit status, or 128 and the signal, and the highest for an array.

        Args:
            job: The number of the job.
            seconds: How long to wait.
        """
        deadline = time.monotonic() + seconds
        while not self.states(job) <= set(_ENDED):
            assert time.monotonic() < deadline, f"job {job} has not ended after {seconds:g} s: {self.facts(job)}"
            time.sleep(0.1)
        codes = [facts["ExitCode"].split(":") for facts in self.facts(job)]
        return max(int(status) or (128 + int(number) if int(number) else 0) for status, number in codes)

    def signal(self, name: str, job: str) -> None:
        """Send the batch shell of a job a signal, as Slurm does before the walltime with --signal=B:NAME."""
        self._run("scancel", f"--signal={name}", "--batch", job)

    def end_jobs(self) -> None:
        """Cancel all jobs and wait for their end; call this before their processes are ended by other means."""
        self._run("scancel", "--user=root")
        wait_until(lambda: not self._run("squeue", "--noheader").strip(), 40)

    def _run(self, *words: str) -> str:
        environment = os.environ | self.variables()
        done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, f"{shlex.join(words)}: {done.stderr}"
        return done.stdout


@contextlib.contextmanager
def running_slurm() -> Iterator[Slurm]:
    """A Slurm for as long as this context; nothing of it stays.

    Raises:
        RuntimeError: Slurm does not come up; the message has the end of its logs.
    """
    with contextlib.ExitStack() as ending:
        folder = Path(tempfile.mkdtemp(prefix="evo-slurm-"))  # A short name: it holds sockets.
        ending.callback(shutil.rmtree, folder, ignore_errors=True)
        ending.callback(wait_until, lambda: _kill_nodes(folder) == 0, 10)
        launcher = Launcher(folder)
        ending.callback(launcher.close)
        slurm = Slurm(folder)
        _write_configuration(folder)
        pmix = _copy_pmix(folder)

        def start(name: str, *words: str | Path) -> None:
            command = ("setpriv", "--pdeathsig=KILL", "sh", "-c", 'exec "$@" > "$0" 2>&1', folder / f"{name}.said.log")
            launcher.start(*command, *words, **(slurm.variables() | {"TMPDIR": "/tmp"}))

        files = [f"--{kind}-file={folder}/munge.{kind}" for kind in ("key", "seed", "log", "pid")]
        start("munged", "munged", "--foreground", f"--socket={folder}/munge.socket", *files)
        _await(folder, (folder / "munge.socket").exists)
        start("slurmctld", "slurmctld", "-D", "-f", folder / "slurm.conf")
        for node in NODES:
            start(node, "unshare", "--uts", "--mount", "sh", "-c", _ON_NODE, "node", node, folder, pmix)
        _await(folder, lambda: _idle_nodes(slurm) == len(NODES))
        try:
            yield slurm
        finally:
            slurm.end_jobs()


def _kill_nodes(folder: Path) -> int:
    """Kill all processes that see the mounts of a node, such as the last steps of jobs; returns how many there were."""
    found = 0
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f" {folder}/tmp " in (process / "mounts").read_text() and is_alive(int(process.name)):
                os.kill(int(process.name), signal.SIGKILL)
                found += 1
    return found


def _copy_pmix(folder: Path) -> Path:
    """Copy Debian's PMIx and give it the name that Slurm looks for; returns the folder it belongs in."""
    pmix = Path(glob.glob(f"{_PMIX}/libpmix.so.2")[0]).parent
    shutil.copytree(pmix, folder / "pmix", symlinks=True)
    with contextlib.suppress(FileExistsError):
        (folder / "pmix" / "libpmix.so").symlink_to("libpmix.so.2")
    return pmix


def _write_configuration(folder: Path) -> None:
    folder.chmod(0o755)  # munged refuses to have its socket in another folder.
    for name in ("state", "tmp"):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.write_bytes(secrets.token_bytes(1024))
    key.chmod(0o400)
    devices = []
    for number, device in enumerate(_DEVICES):
        devices.append(folder / f"gpu{number}")
        devices[-1].symlink_to(f"/dev/{device}")
    lines = [f"NodeName={node} Name=gpu Type=fake File={device}" for node in NODES for device in devices]
    (folder / "gres.conf").write_text("\n".join(lines) + "\n")
    control, *ports = _free_ports(1 + len(NODES))
    host = socket.gethostname().partition(".")[0]
    text = _CONFIGURATION.format(folder=folder, host=host, control_port=control, ports=ports, nodes=NODES)
    (folder / "slurm.conf").write_text(text)


def _free_ports(count: int) -> list[int]:
    """Ports that are free now and below those that the system hands out, to MPI in other tests for example."""
    free: list[int] = []
    while len(free) < count:
        port = 20_000 + secrets.randbelow(12_000)
        with socket.socket() as tried, contextlib.suppress(OSError):
            tried.bind(("127.0.0.1", port))
            free += [port] if port not in free else []
    return free


def _idle_nodes(slurm: Slurm) -> int:
    shown = subprocess.run(
        ["sinfo", "--noheader", "--Node", "--format=%N %T"],
        env=os.environ | slurm.variables(),
        capture_output=True,
        text=True,
        timeout=30,
    )
    return len(re.findall(r"^\S+ idle$", shown.stdout, re.M))


def _await(folder: Path, condition: Callable[[], bool]) -> None:
    try:
        wait_until(condition, 30)
    except AssertionError:
        logs = [f"{log.name}:\n{log.read_text()[-1000:]}" for log in sorted(folder.glob("*.log"))]
        raise RuntimeError("Slurm does not come up\n" + "\n".join(logs)) from None


def _path() -> str:
    return os.pathsep.join(filter(None, [os.environ.get("PATH", ""), "/usr/sbin", "/sbin"]))
