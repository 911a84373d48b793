"""What torch sees in a process with the environment of a training: `python -m evo.lightning.devices` prints it as JSON.

It loads what a training loads, and lets its GPU compute.
"""

from __future__ import annotations

import json

import torch


def describe_devices() -> dict[str, object]:
    """Version of torch, what it was built for, and the GPUs that it sees."""
    toolkits = {"CUDA": torch.version.cuda, "ROCm": getattr(torch.version, "hip", None)}
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    found: dict[str, object] = {
        "version": torch.__version__,
        "built_for": next((f"{name} {version}" for name, version in toolkits.items() if version), ""),
        "gpus": [torch.cuda.get_device_name(number) for number in range(count)],
        "identifier": "",
        "refusal": "",
    }
    if count:
        found["identifier"] = str(getattr(torch.cuda.get_device_properties(0), "uuid", ""))
        try:
            torch.ones(8, device="cuda").sum().item()
        except RuntimeError as error:
            found["refusal"] = f"{found['gpus']} does not compute: {str(error).splitlines()[0]}"
    return found


if __name__ == "__main__":
    print(json.dumps(describe_devices()))
