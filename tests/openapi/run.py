"""A schema tester against a running node: run.py URL [SECONDS]

It sends what the description allows and what it forbids, and compares statuses, media types and bodies of the answers with it;
`schemathesis.toml` says what is not asked for, and why. Requests are made from a fixed seed.
"""

import os
import pathlib
import subprocess
import sys
import tempfile

# These change which models answer and what is kept, or wait for seconds.
LEFT_OUT = ["/v1/snapshots", "/v1/dead-letters/replay", "/v1/dead-letters/drop"]


def main(url, seconds="45"):
    here = pathlib.Path(__file__).parent
    tester = pathlib.Path(sys.executable).with_name("schemathesis")
    command = [str(tester), "--config-file", str(here / "schemathesis.toml"), "run", f"{url}/openapi.json"]
    command += ["--phases", "examples,coverage,fuzzing", "--mode", "all"]
    command += ["--max-time", seconds, "--seed", "1", "--workers", "1", "--request-timeout", "70"]
    command += ["--continue-on-failure", "--suppress-health-check", "all", "--warnings", "off", "--no-shrink"]
    command += [part for path in LEFT_OUT for part in ("--exclude-path", path)]
    environment = {**os.environ, "SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": str(here)}
    # It keeps notes in the folder where it runs: not in the repository.
    with tempfile.TemporaryDirectory() as folder:
        ran = subprocess.run(
            command, cwd=folder, env=environment, timeout=4 * int(seconds) + 60, capture_output=True, text=True
        )
    print(ran.stdout[-20000:], ran.stderr[-2000:])
    sys.exit(ran.returncode)


main(*sys.argv[1:])
