"""What an attempt that was killed has left in the folder of an individual."""

from __future__ import annotations

import re
import shutil

from evo.evaluation.open_runs import OPEN_RUNS
from evo.lightning.group import meeting_file
from evo.objective.objective import Trial
from evo.storage.checkpoints import INHERITED

_RECORDS = rf"(trained|baseline)\.json|{re.escape(OPEN_RUNS)}|{INHERITED}"  # Files that evo replaces itself.


def remove_leftovers(trial: Trial) -> None:
    """Remove what an attempt that was killed has left in the folder, so that nothing of it is taken for this one's.

    What this attempt has made there itself stays: what its processes print, what a function that calls the objective
    has written before, and the file by which the processes are about to meet. They wait for each other there, so none
    of them writes anything else before this is done.
    """
    own = re.compile(rf"output(-\d+)?\.log|{re.escape(meeting_file(trial).name)}|{_RECORDS}")
    for path in trial.folder.glob("*"):  # The folder need not exist.
        is_new = trial.found is not None and trial.found.get(path.name) != path.lstat().st_mtime_ns
        if is_new or own.fullmatch(path.name):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
