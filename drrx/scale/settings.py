"""Settings of the workflow's benchmark."""

from typing import Annotated, Literal

from drrx.settings import Field, settings

Part = Literal["graph", "overhead", "rate"]
Count = Annotated[int, Field(ge=1, le=1_000_000)]


@settings
class BenchmarkWorkflowSettings:
    """What is measured, and with how many cases."""

    parts: tuple[Part, ...] = Field(
        default=("graph", "overhead", "rate"), min_length=1,
        description="graph = dry run and resume of stub cases; overhead = Snakemake against a plain loop; rate = "
        "images per hour",
    )  # fmt: skip
    graph_cases: tuple[Count, ...] = Field(default=(10_000, 100_000), min_length=1, description="stub cases of a run")
    shard_sizes: tuple[Count, ...] = Field(default=(8, 32), min_length=1, description="cases of a job, part graph")
    overhead_cases: int = Field(default=200, ge=1, le=100_000, description="small CTs of 64 x 64 x 64 voxels")
    overhead_px: int = Field(default=256, ge=64, le=4096, description="rows and columns of their images")
    rate_cases: int = Field(default=4, ge=1, le=1000, description="CTs of the part rate: drawn, as delivered")
    rate_variants: int = Field(default=10, ge=1, le=1000, description="nodule variants of each, beside its twin")
    rate_px: int = Field(default=1024, ge=64, le=4096, description="rows and columns of their images")
    cores: int = Field(default=2, ge=1, le=1024, description="cores of the part rate; the others use one")
