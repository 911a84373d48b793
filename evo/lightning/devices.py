"""What torch sees in a process with the environment of a training: `python -m evo.lightning.devices` prints it as JSON.

It loads what a training loads, and runs a computation on the GPU.
"""

from __future__ import annotations

import json

import lightning as L
import torch

from evo.lightning.accelerators import gpu_module, knows_xpu

_TOOLKITS = {"CUDA": "cuda", "ROCm": "hip", "XPU": "xpu"}  # Their common names, and those in torch.version.


def describe_devices() -> dict[str, object]:
    """Version of torch, what it was built for, and the GPUs that it sees."""
    toolkits = {name: getattr(torch.version, key, None) for name, key in _TOOLKITS.items()}
    gpus = gpu_module()
    count = gpus.device_count() if gpus else 0
    found: dict[str, object] = {
        "version": torch.__version__,
        "built_for": next((f"{name} {version}" for name, version in toolkits.items() if version), ""),
        "gpus": [gpus.get_device_name(number) for number in range(count)] if gpus else [],
        "identifier": "",
        "refusal": "",
        "remark": "",
    }
    if gpus and count:
        kind = gpus.__name__.rpartition(".")[2]
        found["identifier"] = str(getattr(gpus.get_device_properties(0), "uuid", ""))
        try:
            torch.ones(8, device=kind).sum().item()
        except RuntimeError as error:
            found["refusal"] = f"{found['gpus']} does not compute: {str(error).splitlines()[0]}"
        if kind == "xpu" and not knows_xpu():
            found["remark"] = f"Lightning {L.__version__} has no accelerator for them: it trains on the CPU"
    return found


if __name__ == "__main__":
    print(json.dumps(describe_devices()))
