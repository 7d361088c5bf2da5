"""The Slurm scripts, with stand-ins for Slurm's commands, Ray's and Python's that print."""

import os
import subprocess
from pathlib import Path

import pytest

STAND_INS = {
    "scontrol": '[ "$*" = "show hostnames a[1-2]" ] && printf "first\\nother\\n"\n',
    "srun": '[ "$1 $2" = "--kill-on-bad-exit=1 --cpus-per-task=64" ] && shift 2 && exec "$@"\n',
    "python": 'case "$*" in *.py*) printf "%s|" "$PWD" "$@";; esac\n',
    "ray": '[ "$1" = get-auth-token ] || printf "%s|" "$RAY_AUTH_MODE" "$RAY_ADDRESS" "$@"\n',
}


@pytest.mark.parametrize(
    ("script", "program", "expected"),
    [
        (
            "torchrun.sh",
            "program.py",
            "{repository} -m torch.distributed.run --nnodes=2 --nproc_per_node=4 --max-restarts=3 "
            "--rdzv_backend=c10d --rdzv_id=40007 --rdzv_endpoint=first:20007 program.py",
        ),
        (
            "score_collection.sh",
            "--input",
            "token first:20007 symmetric-run --address first:20007 --min-nodes 2 --num-cpus 64 "
            "--num-gpus 4 --include-dashboard false -- {python} scripts/score_collection.py "
            "--input",
        ),
    ],
)
def test_a_program_is_started_on_all_machines(tmp_path, repository, script, program, expected):
    """sbatch runs its own copy, in the folder of the submission."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in STAND_INS.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}")
        (folder / name).chmod(0o755)
    slurm = {"JOB_ID": 40007, "NNODES": 2, "GPUS_ON_NODE": 4, "JOB_NODELIST": "a[1-2]"}
    slurm |= {"CPUS_PER_TASK": 64, "SUBMIT_DIR": repository}
    environment = {name: value for name, value in os.environ.items() if "SLURM" not in name}
    environment |= {f"SLURM_{name}": str(value) for name, value in slurm.items()}
    environment |= {"PATH": f"{folder}:{os.environ['PATH']}", "PYTHON": f"{folder}/python"}
    copy = tmp_path / "slurm_script"
    copy.write_text((repository / "scripts/slurm" / script).read_text())
    pipes = {"capture_output": True, "text": True}
    done = subprocess.run(["bash", copy, program, "a b"], cwd="/", env=environment, **pipes)
    assert done.returncode == 0, done.stderr
    words = expected.format(repository=repository, python=Path(folder, "python")).split()
    assert done.stdout == "|".join([*words, "a b", ""])
