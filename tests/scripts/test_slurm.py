"""The Slurm scripts, with stand-ins for Slurm's commands: one machine, two processes on the CPU."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

STAND_INS = {
    "scontrol": '#!/bin/sh\n[ "$*" = "show hostnames a[1-2]" ] && printf "localhost\\nother\\n"\n',
    "srun": (
        "#!/bin/sh\n"
        '[ "$1 $2" = "--kill-on-bad-exit=1 --cpus-per-task=64" ] && shift 2 && exec "$@"\n'
    ),
    "python": "#!/bin/sh\n",
    "ray": '#!/bin/sh\n[ "$1" = get-auth-token ] || echo "$RAY_AUTH_MODE $RAY_ADDRESS" "$@"\n',
}


@pytest.fixture
def sbatch(tmp_path: Path, repository: Path):
    """Runs a script as sbatch does: from its own copy, in the folder of the submission."""
    for name, text in STAND_INS.items():
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)

    def run(
        script: str, *command: object, python: object = sys.executable, **slurm: object
    ) -> subprocess.CompletedProcess[str]:
        copy = tmp_path / "slurm_script"
        copy.write_text((repository / "scripts/slurm" / script).read_text())
        slurm = {"JOB_NODELIST": "a[1-2]", "CPUS_PER_TASK": 64, "SUBMIT_DIR": repository} | slurm
        return subprocess.run(
            ["bash", copy, *map(str, command)],
            cwd="/",
            env={name: value for name, value in os.environ.items() if "SLURM" not in name}
            | {f"SLURM_{name}": str(value) for name, value in slurm.items() if value}
            | {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "PYTHON": str(python)},
            capture_output=True,
            text=True,
        )

    return run


def test_a_program_is_started_once_for_each_gpu(sbatch, tmp_path, repository):
    program = tmp_path / "program.py"
    program.write_text(
        "import os, sys\n"
        "said = os.environ['RANK'], os.environ['WORLD_SIZE'], os.getcwd(), *sys.argv[1:]\n"
        "os.write(1, (' '.join(said) + '\\n').encode())  # at once: two processes write\n"
    )
    slurm = {"JOB_ID": os.getpid(), "NNODES": 1, "GPUS_ON_NODE": 2}
    done = sbatch("torchrun.sh", program, "--dataset", "a b", **slurm)
    assert done.returncode == 0, done.stderr
    expected = [f"{rank} 2 {repository} --dataset a b" for rank in (0, 1)]
    assert sorted(done.stdout.splitlines()) == expected


def test_without_slurm_or_a_program_it_says_so(sbatch):
    done = sbatch("torchrun.sh", "x", SUBMIT_DIR=None)
    assert done.returncode != 0 and "this is for sbatch" in done.stderr
    done = sbatch("torchrun.sh")
    assert done.returncode == 2 and "which program?" in done.stderr


def test_a_collection_is_scored_by_a_ray_on_all_machines(sbatch, tmp_path):
    python = tmp_path / "bin/python"  # beside whose ray the script looks
    slurm = {"JOB_ID": 40007, "NNODES": 2, "GPUS_ON_NODE": 4}
    done = sbatch("score_collection.sh", "--input", "a b", python=python, **slurm)
    assert done.returncode == 0, done.stderr
    assert done.stdout == (
        "token localhost:20007 symmetric-run --address localhost:20007 --min-nodes 2 --num-cpus 64 "
        f"--num-gpus 4 --include-dashboard false -- {python} "
        "scripts/score_collection.py --input a b\n"
    )
