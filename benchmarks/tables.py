"""Results files as Markdown: the same text goes to standard output and into the README."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.statistics import Interval

Found = Mapping[str, Any]


def markdown(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)


def interval(fields: Found, unit: str = "", signed: bool = False) -> str:
    """Mean and 95 % interval, e.g. "+3.1 dB [2.7, 3.5]"; two digits where values are fractions."""
    value, digits = Interval.read(fields), 1 if unit else 2
    sign = "+" if signed else ""
    mean = f"{value.mean:{sign}.{digits}f}{' ' + unit if unit else ''}"
    if value.clusters == 1:
        return f"{mean} [one object]"
    return f"{mean} [{value.low:.{digits}f}, {value.high:.{digits}f}]"


def fidelity(found: Found) -> str:
    """The rows of a method, with the sentence that says what was measured."""
    lines, every = [], max(row["judged"]["cases"] for row in found["rows"])
    for row in found["rows"]:
        unit, columns = row["unit"], row["columns"]
        beside = "; ".join(
            f"{h} {Interval.read(v).mean:.{1 if unit else 2}f}" for h, v in columns.items() if h != "ours"
        )
        signed = row["against"] is not None
        bound = f"{{:{'+' if signed else ''}g}}" + (f" {unit}" if unit else "")
        lines.append(
            [
                row["measure"] + ("" if row["judged"]["cases"] == every else f" ({row['judged']['cases']} cases)"),
                interval(columns["ours"], unit),
                beside or "-",
                interval(row["judged"], unit, signed) if signed else "-",
                bound.format(row["floor"]),
                bound.format(row["aim"]),
                row["reached"],
            ]
        )
    head = ["measure", "ours", "beside it", "difference", "floor", "aim", "reached"]
    missing = "".join(f"\n\nNot measured, no case had all of it: {what}." for what in found.get("unmeasured", ()))
    return f"{_sentence(found)}\n\n{markdown(head, lines)}{missing}"


def _sentence(found: Found) -> str:
    where, judged = found["machine"], Interval.read(found["rows"][0]["judged"])
    steps = f", {found['steps']} steps" if found["steps"] else ""
    return (
        f"`{found['method']}`, {found['preset']} preset, {found['size']} px{steps}: "
        f"{judged.cases} cases of {judged.clusters} objects ({found['sprites']}), seed {found['seed']}, "
        f"commit {where['commit']}. "
        f"Mean [95 % interval, clustered]. {found['note']}"
    )


def groups(found: Found) -> str:
    """The secondary breakdown: each row's judged number in each group of cases."""
    rows = found["rows"]
    lines = []
    for name in sorted({name for row in rows for name in row["groups"]}):
        cells = [_cell(row["groups"][name], row) if name in row["groups"] else "-" for row in rows]
        lines.append([name, *cells])
    heads = [row["measure"] + (" (difference)" if row["against"] else "") for row in rows]
    return markdown(["cases", *heads], lines)


def _cell(judged: Found, row: Found) -> str:
    return f"{interval(judged, row['unit'], row['against'] is not None)} ({judged['cases']})"


def seconds(value: float | None) -> str:
    """A duration for people, e.g. "0.31 s"; "not measured" for None."""
    return "not measured" if value is None else f"{value:.2f} s" if value < 10 else f"{value:.1f} s"


def speed(found: Found) -> str:
    """What waiting feels like on one machine, every ratio within the one run."""
    where, page, load = found["machine"], found["page"], found["machine"]["load_before"]
    per_threads = found["clicks"]
    lines = [
        ["page: a tab's label in the browser", seconds(page["label_s"]), _page_note(page)],
        ["page: HTTP 200", seconds(page["http_s"]), f"`import gradio`: {seconds(page['import_gradio_s'])}"],
    ]
    if found.get("http"):
        lines.append(_clicks_over_http(found["http"]))
    for one in per_threads:
        lines += _clicks(one)
    if found.get("masks"):
        lines += _taps(found["masks"])
    if found.get("adapters"):
        lines.append(_adapters(found["adapters"]))
    if found.get("merging"):
        lines += merging(found["merging"])
    if found.get("looks"):
        lines += looks(found["looks"])
    if found.get("faces"):
        lines += faces(found["faces"])
    versions = where["versions"]
    sentence = (
        f"`{found['method']}`: {where['cpu']}, {where['cores']} cores, load {load} before the run; "
        f"torch {versions['torch']}, gradio {versions['gradio']}; {found['preset']} preset, {found['steps']} steps; "
        f"commit {where['commit']}."
    )
    return f"{sentence}\n\n{markdown(['what', 'time', 'beside it'], lines)}"


def _page_note(page: Found) -> str:
    torch = {True: "torch was there already", False: "torch not loaded by then", None: "torch: not looked at"}
    within = {True: "within", False: "OVER", None: "not compared with"}[page["within"]]
    return f"{within} 1.5 x `import gradio` + 2 s = {seconds(page['allowed_s'])}; {torch[page['torch_before_label']]}"


def _clicks_over_http(http: Found) -> list[str]:
    first = f"first click {seconds(http['first_click_s'])} in a fresh server, loading included"
    return ["second click through HTTP", seconds(http["second_click_s"]), first]


def _taps(masks: Found) -> list[list[str]]:
    """The lines of the masks, GrabCut and the same clicks during a run beside them."""
    idle, busy, colour = masks["idle"], masks["beside_a_run"], masks["grabcut"]
    during = "during a run" if busy["run_going_on"] else "during a run that ENDED EARLY"
    first = f"first click {seconds(masks['first_click_s'])} in a fresh process, loading included"
    lines = [["mask: a new picture is embedded", seconds(idle["embed_s"]), first]]
    named = {
        "click_s": "mask: a first click",
        "further_click_s": "mask: further clicks",
        "box_s": "mask: a box",
    }
    for key, what in named.items():
        beside = f"{seconds(busy[key])} {during}; GrabCut {seconds(colour[key])}"
        lines.append([what, seconds(idle[key]), beside])
    return lines


def _adapters(found: Found) -> list[str]:
    bare = f"the same U-Net without the visual prompt {seconds(found['bare_s'])}: {found['ratio']:.2f} times"
    return [f"a whole picture, nothing remembered ({found['threads']} thread)", seconds(found["ours_s"]), bare]


def merging(found: Found) -> list[list[str]]:
    """The lines of merged patches, rows and kept inversions, for random weights of PixArt-XL's shape."""
    where = f"{found['depth']} of {found['of_blocks']} blocks of PixArt-XL's shape, {found['device']}"
    lines = []
    for one in found["merging"]:
        size = "{}x{}".format(*one["size"])
        four = f"four rows {seconds(one['four_rows_s'])}: {one['four_over_three']:.2f} times"
        lines.append(
            [f"a step of an edit at {size}, three rows, nothing merged ({where})", seconds(one["step_s"]), four]
        )
        for setting in one["settings"]:
            cells = f"{setting['ratio']:g} merged in cells of {setting['stride']}x{setting['stride']}"
            gain = f"{setting['faster']:.2f} times as fast (by counting at most {setting['bound']:.2f})"
            lines.append([f"the same at {size}, {cells}, {setting['kept']:.0%} kept", seconds(setting["step_s"]), gain])
    edit = found["edits"]
    size, steps = "{}x{}".format(*edit["size"]), edit["steps"]
    again = f"with the inversion kept {seconds(edit['second_s'])}: {edit['second_of_first']:.2f} of the first"
    four = f"three rows and then two {seconds(edit['second_s'])}: four take {edit['four_over_three']:.2f} times as long"
    lines.append([f"a first edit at {size}, {steps} steps ({where})", seconds(edit["first_s"]), again])
    lines.append([f"the same in four rows, without inverting ({where})", seconds(edit["four_rows_s"]), four])
    return lines


def looks(found: Found) -> list[list[str]]:
    """The lines of Collage Diffusion's bias over image-to-image, and of learning looks together."""
    where = f"{found['layers']} layers, {found['device']}"
    bias = f"without the bias, plain img2img, {seconds(found['stock_s'])}: {found['bias_over_stock']:.2f} times"
    noise = f"{found['all_over_stock']:.2f} times plain img2img"
    own = seconds(found["joint_s"] / found["look_steps"] * found["own_look_steps"])
    apart = (
        f"one after the other {seconds(found['separate_s'])}: {found['separate_over_joint']:.2f} times; "
        f"{own} for all {found['own_look_steps']} steps"
    )
    return [
        [f"a picture with words in their places ({where})", seconds(found["bias_s"]), bias],
        [f"the same with noise per layer ({where})", seconds(found["all_s"]), noise],
        [f"{found['look_steps']} steps of learning all looks together ({where})", seconds(found["joint_s"]), apart],
    ]


def faces(found: Found) -> list[list[str]]:
    """The lines of Face-diffuser's pictures, and of those that go on from a kept scene stage."""
    at = f"{found['threads']} thread{'s' if found['threads'] > 1 else ''}"
    alone = f"{seconds(found['scene_s'])}: {found['whole_over_scene']:.2f} times"
    kept = "scene stage kept" if found["kept"] else "SCENE STAGE LOST"
    share = f"{found['swap_over_whole']:.2f} of the whole picture"
    return [
        [
            f"a picture by both models, {found['steps']} ({at})",
            seconds(found["whole_s"]),
            f"{found['whole_evaluations']} evaluations of {found['all_evaluations']}; scene model alone {alone}",
        ],
        [
            f"the same with the faces swapped ({at})",
            seconds(found["swap_s"]),
            f"{found['swap_evaluations']} evaluations, {kept}: {share}",
        ],
        [
            f"the same with another second bound ({at})",
            seconds(found["bound_s"]),
            f"{found['bound_evaluations']} evaluations",
        ],
    ]


def _clicks(one: Found) -> list[list[str]]:
    """The lines of one process that clicked with a given number of threads."""
    threads, stop, other = one["threads"], one["stop"], one["second_visitor"]
    at = f"{threads} thread{'s' if threads > 1 else ''}"
    gone = "patches gone" if stop["patches_gone"] else "PATCHES LEFT"
    undisturbed = "same pixels as alone" if other["same_pixels"] else "PIXELS DIFFER"
    bytes_ = ", ".join(f"{place} {count / 1e6:.1f} MB" for place, count in one["resident_bytes"].items())
    return [
        [f"first click to picture ({at})", seconds(one["first_click_s"]), "imports and loading included"],
        [f"second click ({at})", seconds(one["second_click_s"]), f"{one['steps_per_second']:.2f} steps/s"],
        [
            f"Stop at step {stop['at_step']} of {stop['of_steps']} ({at})",
            seconds(stop["stopped_s"]),
            f"{stop['steps_after']} steps shown after it; lock free after {seconds(stop['lock_free_s'])}; {gone}",
        ],
        [f"second visitor's first step after that ({at})", seconds(other["first_step_s"]), undisturbed],
        [
            f"components from the cache ({at})",
            seconds(one["cache"]["hit_s"]),
            f"from disk {seconds(one['cache']['miss_s'])}",
        ],
        [f"bytes resident ({at})", f"{one['peak_rss_bytes'] / 1e9:.2f} GB of process", bytes_],
    ]
