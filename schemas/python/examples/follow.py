"""Prints a line for every record of a topic: what is where on which frame. Needs confluent-kafka."""

import argparse
from datetime import datetime, timedelta, timezone

import numpy as np

import uplift_records

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
MAX_LINE = 500
LARGEST = 1 << 22  # pixels of a mask, elements of a tensor: what follows takes up to 20 bytes for each


def describe(value: bytes | None) -> str:
    """One line about a record of any of the topics, whoever wrote it."""
    try:
        record = uplift_records.read(value)
        header = record.get("header", record)  # a CameraFrame has none
        if "captureTimeMicros" not in header:
            raise ValueError("a command, or the answer to one (expected: a frame's record)")
        taken = EPOCH + timedelta(microseconds=header["captureTimeMicros"])
        line = f"{header['cameraId']} {header['sequence']} {taken:%H:%M:%S.%f} {content(record)}"
    except (ValueError, OverflowError) as problem:  # OverflowError: a time beyond the year 9999
        line = f"not readable: {problem}"
    # Names come from the topic, and a terminal obeys control characters.
    return "".join(c if c.isprintable() else "?" for c in line[:MAX_LINE])


def content(record: uplift_records.Record) -> str:
    if "image" in record:
        return f"{len(record['image'])} bytes of image"
    if "codec" in record:
        return f"{len(record['data'])} bytes of {record['codec']}"
    if "mask" in record:
        labels = uplift_records.labels(record, LARGEST)
        counts = np.bincount(labels[labels != record["ignoreLabel"]], minlength=1)
        if not counts.any():
            return "no class anywhere"
        label = int(counts.argmax())
        y, x = (axis.mean() + 0.5 for axis in np.nonzero(labels == label))
        frame_x, frame_y = uplift_records.to_frame(record, x, y)
        names = record["classNames"]
        name = names[label] if label < len(names) else f"class {label}"
        return f"mostly {name}, around ({frame_x:.0f}, {frame_y:.0f})"
    if "tensor" in record:
        values = uplift_records.values(record, LARGEST)
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
