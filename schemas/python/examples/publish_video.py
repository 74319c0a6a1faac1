"""Sends a video's packets, without encoding them anew. Needs confluent-kafka and the ffmpeg program."""

import argparse
import subprocess
import time
from collections.abc import Iterator
from typing import BinaryIO

DELIMITER = b"\x00\x00\x00\x01\x09"  # of H.264: the access unit delimiter that each picture begins with
CHUNK = 1 << 16


def access_units(stream: BinaryIO) -> Iterator[bytes]:
    """The pictures of a stream of H.264 in Annex B that has access unit delimiters."""
    rest = b""
    while chunk := stream.read(CHUNK):
        rest += chunk
        *whole, rest = rest.split(DELIMITER)
        yield from (DELIMITER + unit for unit in whole if unit)
    if rest:
        yield DELIMITER + rest


def key_frame(unit: bytes) -> bool:
    """Whether an access unit holds an SPS, NAL unit type 7, as each key frame does here."""
    return any(nal[:1] and nal[0] & 0x1F == 7 for nal in unit.split(b"\x00\x00\x01"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("input", help="a file or URL of H.264 that ffmpeg reads")
    parser.add_argument("camera")
    parser.add_argument("--topic", default="camera-frames")
    parser.add_argument("--bootstrap-servers", default="localhost:9092")
    args = parser.parse_args()

    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": args.bootstrap_servers, "message.max.bytes": 16 << 20})
    # Parameter sets before every key frame, a delimiter before every picture; -re keeps the video's pace.
    filters = "h264_mp4toannexb,dump_extra=freq=keyframe,h264_metadata=aud=insert"
    command = ["ffmpeg", "-loglevel", "error", "-re", "-i", args.input, "-map", "0:v:0"]
    command += ["-c", "copy", "-bsf:v", filters, "-f", "h264", "-"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as ffmpeg:
        for sequence, unit in enumerate(access_units(ffmpeg.stdout)):
            headers = {
                "video-codec": "h264",
                "video-key-frame": "1" if key_frame(unit) else "0",
                # When the packet came. With B-frames a picture is shown before or after that.
                "video-capture-time-micros": str(time.time_ns() // 1000),
                "video-sequence": str(sequence),
            }
            producer.produce(
                args.topic,
                unit,
                args.camera,
                headers={name: value.encode() for name, value in headers.items()},
            )
            producer.poll(0)
    producer.flush()
    if ffmpeg.returncode:
        raise SystemExit(f"ffmpeg ended with {ffmpeg.returncode}: the video may not be whole")


if __name__ == "__main__":
    main()
