"""What the Models page shows: the download that goes on, what is in memory and whose it is, and what presets cost."""

from __future__ import annotations

import hashlib
import html
from collections.abc import Mapping

from demos.models_board import BoardValue
from demos.weights_card import link, steps
from models import catalog, costs, downloads, fetching, runtime, zerogpu
from models.cache import Held
from models.contract import Weights
from models.costs import Cost

STATES = {"ready": "Ready", "missing": "Not downloaded", "gated": "Licence first"}
COLUMNS = ("Models", "State", "Download", "Memory", "Seconds a picture", "Licence", "")
HELD = ("Component", "From", "Type", "Size", "Where", "Used by", "")
ELSEWHERE = (
    "Weights are added by whoever runs this server: <code>python app.py models download METHOD</code> there, or the "
    f"variable <code>{zerogpu.PRELOAD}</code> on a Space."
)
FREE = '<span class="free"></span>'  # the script fills it: the disk's room changes all the time, the table seldom
AT_HOME = "Nothing is downloaded without your yes."


def board(home: bool, note: str = "", bad: bool = False) -> BoardValue:
    """Everything as it is now; `home` is whether the visitor may fill this machine's disk."""
    parts = {"job": job(home), "memory": memory(runtime.cache.held()), "table": table(costs.table(), home)}
    stamp = hashlib.sha256("\0".join(parts.values()).encode()).hexdigest()[:16]
    return BoardValue(**parts, free=_bytes(fetching.free_bytes()[0]), note=note, bad=bad, stamp=stamp)


def job(home: bool) -> str:
    """The line of the download that goes on, or how the last one ended; "" before the first."""
    now = downloads.current()
    if now is None:
        return ""
    found = costs.of(now.method, now.preset)
    title = f"<b>{html.escape(found.title)}, {html.escape(found.label)}</b>"
    if now.state != "running":
        return f'<div class="going">{title}<span>{html.escape(now.said)}</span></div>'
    share = f'value="{now.done / now.total:.4f}"' if now.total else ""
    told = f"{_bytes(now.done)} of {_bytes(now.total)}" if now.total else ""
    stop = _button("halt", "Stop", 'data-key="halt"') if home else ""
    bar = f'<progress max="1" {share} aria-label="Download"></progress>'
    return f'<div class="going">{title}<span>{told}</span>{bar}<span>{html.escape(now.note)}</span>{stop}</div>'


# --- in memory


def memory(held: list[Held]) -> str:
    """What is loaded, the last used first, with what may be dropped."""
    values = runtime.cache.resident()["values"]
    sums = f"{len(held)} components, {_bytes(sum(one.bytes for one in held))}" if held else "No component is loaded"
    kept = f"; remembered results {_bytes(values)}" if values else ""
    free = _button("free", "Free memory", 'data-key="free"') if held or values else ""
    head = f'<div class="head"><h3>In memory</h3><span>{sums}{kept}</span>{free}</div>'
    if not held:
        return head
    users = shared()
    rows = "".join(_held(one, users) for one in held)
    return f"{head}<table>{_headed(HELD)}<tbody>{rows}</tbody></table>"


def key(weights: Weights) -> str:
    """What a component is called in the page."""
    return hashlib.sha256(repr(weights).encode()).hexdigest()[:12]


def shared() -> Mapping[str, list[str]]:
    """The presets that use a component, as "Drag & place pocket", by its `key`, in every memory mode."""
    users: dict[str, list[str]] = {}
    for shelf in catalog.shelves():
        for preset in shelf.presets.values():
            for mode in preset.memory_modes:
                for weights in runtime.in_memory_mode(preset, mode).components.values():
                    names = users.setdefault(key(weights), [])
                    if (name := f"{shelf.title} ({preset.name})") not in names:
                        names.append(name)
    return users


def _held(one: Held, users: Mapping[str, list[str]]) -> str:
    weights = one.weights
    where = f"{weights.source}/{weights.subfolder}".rstrip("/")
    state = "loading" if one.loading else f"in use by {one.users}" if one.users else "idle"
    place = "host memory" if one.device == "cpu" else one.device
    dtype = " ".join(filter(None, (weights.dtype, weights.quantisation))) if weights.dtype else ""
    named = f"{html.escape(weights.class_name.rsplit('.', 1)[-1])}"
    act = _button("dismiss", "Unload", f'data-key="{key(weights)}" aria-label="Unload {named}"')
    cells = (
        named,
        html.escape(where),
        dtype,
        _bytes(one.bytes) if one.bytes else "",
        f"{place}, {state}",
        "; ".join(html.escape(name) for name in users.get(key(weights), [])),
        "" if one.users or one.loading else act,
    )
    return _row(cells, HELD)


# --- what presets cost


def table(found: list[Cost], home: bool) -> str:
    """Every preset, under the task that it is for."""
    folder = html.escape(str(fetching.free_bytes()[1]))
    told = f"{AT_HOME} {FREE} are free in {folder}." if home else ELSEWHERE
    check = _button("check", "Check all files", 'data-key="check"')
    rows, before = [], ""
    for one in found:
        if one.method != before:
            rows.append(f'<tr class="task"><td colspan="{len(COLUMNS)}">{html.escape(one.title)}</td></tr>')
        before = one.method
        rows.append(_cost(one, home))
    head = f'<div class="head"><h3>Weights</h3><span>{told}</span>{check}</div>'
    return f"{head}<table>{_headed(COLUMNS)}<tbody>{''.join(rows)}</tbody></table>"


def _cost(one: Cost, home: bool) -> str:
    part = one.needs_gigabytes and one.needs_gigabytes < one.download_gigabytes
    left = f"<small>{costs.gigabytes(one.needs_gigabytes)} of it still to fetch</small>" if part else ""
    button, modes = home and not one.own, costs.memory(one)
    pages = f"<small>{', '.join(link(source) for source in one.sources)}</small>" if one.sources else ""
    cells = (
        html.escape(one.label),
        f"{STATES[one.state]}{steps(one, 'press Download' if button else '', button)}",
        f'<span class="number">{costs.download(one)}</span>{left}',
        "<br>".join(f'<span class="number">{mode}</span>' for mode in modes.split(", ") if mode),
        html.escape(costs.seconds(one)).replace("; ", "<br>"),
        html.escape(one.licence) + pages,
        _act(one, home),
    )
    return _row(cells, COLUMNS)


def _act(one: Cost, home: bool) -> str:
    """What can be done about a preset here."""
    which = f'data-method="{one.method}" data-preset="{one.preset}"'
    if one.state == "ready":
        return (
            f'<button type="button" data-do="check" {which} data-key="check-{one.method}-{one.preset}">Check</button>'
        )
    if not home or one.own or not one.sources:
        return ""
    size = costs.gigabytes(one.needs_gigabytes)
    ask = _button("ask", "Download…", f'data-key="ask-{one.method}-{one.preset}"')
    token = ""
    if one.state == "gated" and not fetching.has_token():
        token = (
            '<label>A token of yours, for this download only<input type="password" autocomplete="off" '
            'spellcheck="false" placeholder="hf_…"></label>'
        )
    told = f"{size} to fetch; {FREE} are free. Licence: {html.escape(one.licence)}."
    made = " The files are then converted, which needs as much room again." if one.made_by else ""
    yes, no = _button("fetch", f"Download {size}", f'class="yes" {which}'), _button("cancel", "Cancel")
    return f'{ask}<div class="ask" hidden><p>{told}{made}</p>{token}<div>{yes}{no}</div></div>'


def _row(cells: tuple[str, ...], columns: tuple[str, ...]) -> str:
    """A line of a table; on a narrow screen each cell has its column's name before it."""
    classes = ["name", *[""] * (len(cells) - 2), "do"]
    marked = [
        f'<td class="{kind}"' + (f' data-name="{column}"' if column and k else "") + f">{cell}</td>"
        for k, (cell, column, kind) in enumerate(zip(cells, columns, classes, strict=True))
    ]
    return f"<tr>{''.join(marked)}</tr>"


def _button(act: str, text: str, more: str = "") -> str:
    """A button whose click is the script's `act`; `data-key` is what it is found by when it is drawn again."""
    return f'<button type="button" data-do="{act}" {more}>{text}</button>'


def _headed(columns: tuple[str, ...]) -> str:
    return "<thead><tr>" + "".join(f'<th scope="col">{name}</th>' for name in columns) + "</tr></thead>"


def _bytes(count: int) -> str:
    """ "34 GB", "160 MB", "3 kB"."""
    return costs.gigabytes(count / 1e9) if count >= 1e6 else f"{count / 1e3:.0f} kB"
