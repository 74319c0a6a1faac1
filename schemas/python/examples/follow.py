"""Prints a line for every record of a topic: what is where on which frame. Needs confluent-kafka."""

import argparse
from datetime import datetime, timezone

import numpy as np

import uplift_records


def describe(value: bytes) -> str:
    """One line about a record of any of the topics."""
    record = uplift_records.read(value)
    header = record["header"]
    taken = datetime.fromtimestamp(header["captureTimeMicros"] / 1e6, timezone.utc)
    return f"{header['cameraId']} {header['sequence']} {taken:%H:%M:%S.%f} {content(record)}"


def content(record: uplift_records.Record) -> str:
    """The record's most frequent class, its tensor's range, or why there is none."""
    if "mask" in record:
        labels = uplift_records.labels(record)
        label = int(np.bincount(labels[labels != record["ignoreLabel"]]).argmax())
        y, x = (axis.mean() + 0.5 for axis in np.nonzero(labels == label))
        frame_x, frame_y = uplift_records.to_frame(record, x, y)
        names = record["classNames"]
        name = names[label] if label < len(names) else f"class {label}"
        return f"mostly {name}, around ({frame_x:.0f}, {frame_y:.0f})"
    if "tensor" in record:
        values = uplift_records.values(record)
        unit = record["unit"] or ""
        return f"{record['name']} {values.shape}: {values.min():.3g} to {values.max():.3g} {unit}"
    return record["reason"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("topic")
    parser.add_argument("--bootstrap-servers", default="localhost:9092")
    parser.add_argument("--limit", type=int, default=0, help="end after so many records; 0 for never")
    args = parser.parse_args()

    try:
        from confluent_kafka import Consumer
    except ModuleNotFoundError:
        raise SystemExit("confluent-kafka is missing: pip install './schemas/python[kafka]'") from None

    consumer = Consumer(
        {
            "bootstrap.servers": args.bootstrap_servers,
            "group.id": "uplift-follow",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",  # the default; said here because exactly-once needs it
        }
    )
    consumer.subscribe([args.topic])
    count = 0
    try:
        while not args.limit or count < args.limit:
            message = consumer.poll(1.0)
            if message is None:
                continue
            if message.error():
                raise SystemExit(str(message.error()))
            print(describe(message.value()), flush=True)
            count += 1
    except KeyboardInterrupt:
        pass
    finally:
        consumer.close()


if __name__ == "__main__":
    main()
