"""MLflow's `spark_udf` over a Parquet file.  python -m benchmarks.peers.apps.spark_udf SAVED INPUT OUTPUT  runs it.

SAVED is what `apps/mlflow.py` saved. Prints the seconds from the read to the last file, Spark being up and warm.
"""

from __future__ import annotations

import sys
from pathlib import Path
from time import perf_counter
from typing import Any

import mlflow
from pyspark.sql import SparkSession
from pyspark.sql.functions import struct


def main(saved: str, source: str, target: str) -> None:
    """All cores, Arrow between the JVM and Python, batches as large as ours."""
    spark: Any = (
        SparkSession.builder.master("local[*]")
        .config("spark.sql.execution.arrow.maxRecordsPerBatch", 16_384)
        .config("spark.ui.enabled", "false")
        .config("spark.driver.host", "127.0.0.1")
        .getOrCreate()
    )
    answer = mlflow.pyfunc.spark_udf(spark, saved, result_type="label long, p0 float, p1 float", env_manager="local")
    features = struct(*(f"f{at}" for at in range(30)))

    def scored(rows: Any) -> Any:
        return rows.withColumn("answer", answer(features)).select("*", "answer.*").drop("answer")

    frame = spark.read.parquet(source)
    scored(frame.limit(1000)).write.mode("overwrite").parquet(f"{target}-warm")
    began = perf_counter()
    scored(frame).write.mode("overwrite").parquet(target)
    print(f"SECONDS {perf_counter() - began}", flush=True)
    count = spark.read.parquet(target).count()
    if count != frame.count():
        raise SystemExit(f"{Path(target).name} holds {count} rows")


if __name__ == "__main__":
    main(*sys.argv[1:])
