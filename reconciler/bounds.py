"""Every bound on what comes from outside: a name, a unit, a default, and where the number comes from."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Bounds(BaseModel):
    """Limits in force for one process. Bytes and seconds throughout; set under `bounds:` in the settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    artifact_bytes: int = Field(
        2 * 1024**3, gt=0, description="Largest artifact that is fetched. Origin: a zip without zip64 ends at 4 GiB."
    )
    unpacked_bytes: int = Field(
        4 * 1024**3, gt=0, description="Largest sum of an artifact's unpacked files; stops archive bombs."
    )
    unpacked_files: int = Field(
        100_000, gt=0, description="Most files and folders in one artifact; ten times the largest benchmark."
    )
    run_file_bytes: int = Field(256 * 1024, gt=0, description="Largest run.json.")
    run_artifacts: int = Field(1_000, gt=0, description="Most artifacts that one run may list.")
    commit_bytes: int = Field(1024**2, gt=0, description="Largest commit object that is judged.")
    merged_commits: int = Field(
        1_000, gt=0, description="Most commits that one merge may bring; above it the authors can't be judged."
    )
    changes: int = Field(
        10_000, gt=0, description="Most changes of one file that are judged in one pass after the last accepted one."
    )
    environments: int = Field(50_000, gt=0, description="Most environment files in the tracked branch.")
    git_seconds: float = Field(120.0, gt=0, description="Deadline of one git call that crosses a network.")
    git_local_seconds: float = Field(60.0, gt=0, description="Deadline of one git call on the local mirror.")
    connect_seconds: float = Field(5.0, gt=0, description="Deadline for a TCP and TLS connection.")
    read_seconds: float = Field(20.0, gt=0, description="Longest silence of a server in the middle of an answer.")
    fetch_seconds: float = Field(
        1_800.0, gt=0, description="Deadline for one whole download; one byte a second ends here, and is resumed."
    )
    api_bytes: int = Field(
        10 * 1024**2, gt=0, description="Largest answer of a forge's API. Origin: 100 entries of 100 KiB on one page."
    )
    api_pages: int = Field(
        100, gt=0, description="Most pages of one list of a forge's API; a longer list is not judged by a part of it."
    )
    redirects: int = Field(5, ge=0, description="Most redirects followed for one request.")
    webhook_bytes: int = Field(
        2 * 1024**2,
        gt=0,
        description="Largest body of a webhook; above it the next poll finds out.",
    )
    watched_targets: int = Field(
        500, ge=0, description="Most targets whose folders are watched for changes; each takes inotify watches."
    )
    output_bytes: int = Field(
        16 * 1024, gt=0, description="Most output of one command that is kept, half of it from the end."
    )
    probes: int = Field(64, gt=0, description="Most health checks that are under way at once, each in a thread.")
