"""Reads every byte of the layers of a bucket, on all workers of a Spark cluster.

    node list-layers.mjs BUCKET > names
    spark-submit --master MASTER check_layers.py names

The names are one a line. Spark pipes them through `layerfile check` on its workers,
where the command must be in PATH. Nothing is shared between workers, and a lost one is replaced by Spark.
The AWS_* variables of the driver are handed to the workers; leave them unset where workers have a role.

Prints one JSON object: the numbers, and the layers that are not in order. Exit status: 0 if all is in order,
1 for damage, 3 if a layer could not be looked at.
"""

import json
import os
import sys

from pyspark import SparkConf, SparkContext

COMMAND = "layerfile check --deep --files-from - --ndjson -j 1"
# Names of one partition: small enough that a retry costs little, large enough that starting Node costs nothing.
NAMES_PER_PARTITION = 200
LISTED = 1000


def empty():
    return {"layers": 0, "damaged": 0, "unknown": 0, "errors": 0, "warnings": 0, "listed": []}


def add(total, line):
    """Adds one line of a worker. Its last line, the sum of its own layers, has no name."""
    result = json.loads(line)
    if "name" not in result:
        return total
    total["layers"] += 1
    for finding in result["findings"]:
        total["errors" if finding["severity"] == "error" else "warnings"] += 1
    if result["state"] == "unknown":
        total["unknown"] += 1
    elif not result["ok"]:
        total["damaged"] += 1
    else:
        return total
    return listed(total, [{key: result[key] for key in ("name", "state", "findings")}])


def merge(left, right):
    for name in ("layers", "damaged", "unknown", "errors", "warnings"):
        left[name] += right[name]
    return listed(left, right["listed"])


def listed(total, results):
    total["listed"] = (total["listed"] + results)[:LISTED]
    return total


def main(path):
    with open(path, encoding="utf-8") as file:
        names = [line.rstrip("\n") for line in file if line != "\n"]
    environment = {
        name: value
        for name, value in os.environ.items()
        if name.startswith("AWS_") or name in ("PATH", "HOME")
    }
    context = SparkContext(conf=SparkConf().setAppName("check layers"))
    partitions = max(context.defaultParallelism, len(names) // NAMES_PER_PARTITION)
    total = (
        context.parallelize(names, partitions)
        .pipe(COMMAND, environment)
        .aggregate(empty(), add, merge)
    )
    context.stop()
    # A worker whose command fails before its end has no line for the rest of its layers.
    total["unknown"] += len(names) - total["layers"]
    total["layers"] = len(names)
    print(json.dumps(total, sort_keys=True))
    return 3 if total["unknown"] > 0 else 1 if total["damaged"] > 0 else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
