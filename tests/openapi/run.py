"""A schema tester against a running node: run.py URL [SECONDS]

It sends what the description allows and what it forbids, and compares statuses, media types and bodies of the answers with it.
Requests are made from a fixed seed.
"""

import os
import pathlib
import subprocess
import sys
import tempfile

# Not asked for: `positive_data_acceptance`. A request can be well-formed and still name a field, a document or a snapshot that is
# not there, which is a 400 that no schema can tell.
CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "missing_required_header",
    "unsupported_method",
    "allow_header_conformance",
]

# These change which models answer and what is kept, or wait for seconds.
LEFT_OUT = ["/v1/snapshots", "/v1/dead-letters/replay", "/v1/dead-letters/drop"]


def main(url, seconds="45"):
    here = pathlib.Path(__file__).parent
    tester = pathlib.Path(sys.executable).with_name("schemathesis")
    command = [str(tester), "--config-file", str(here / "schemathesis.toml"), "run", f"{url}/openapi.json"]
    command += ["--checks", ",".join(CHECKS), "--phases", "examples,coverage,fuzzing", "--mode", "all"]
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
