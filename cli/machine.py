"""The flags about the machine that serving and every run share."""

from __future__ import annotations

import argparse
import os

from models import runtime

DEVICES = ("auto", "cuda", "mps", "cpu")


def add(parser: argparse._ActionsContainer) -> None:
    """`--device`, `--threads` and `--local-files-only`."""
    parser.add_argument("--device", default="auto", choices=DEVICES, help="[auto: the best that is there]")
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="of a run on the CPU [the preset's]")
    parser.add_argument("--local-files-only", action="store_true", help="never ask the hub for anything")


def configure(arguments: argparse.Namespace) -> None:
    """Settings of the process; the hub's client reads its environment when it is first imported, which is later."""
    if arguments.local_files_only:
        os.environ["HF_HUB_OFFLINE"] = "1"
    runtime.configure(device=arguments.device, threads=max(0, arguments.threads))
