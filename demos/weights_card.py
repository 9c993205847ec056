"""The card in a tab whose chosen weights are not here: what they cost and the steps to them, before anything runs."""

from __future__ import annotations

import html

from models import catalog, costs, fetching, zerogpu
from models.costs import Cost

OPENS = "[...document.querySelectorAll('[role=tab]')].find((tab) => tab.textContent.trim() === 'Models')?.click()"
POCKET = "element.addEventListener('click', (event) => event.target.closest('[data-do=pocket]') && trigger('pocket'))"


def card(found: Cost, lead: str = "", refused: bool = False) -> str:
    """The card of a preset as HTML; `lead` is what still works; one that is `refused` a run is told at once. A click
    on its first button triggers `pocket`."""
    role = "alert" if refused else "status"
    pages = f" ({', '.join(link(source) for source in found.sources)})" if found.sources else ""
    facts = {
        "To fetch": costs.gigabytes(found.needs_gigabytes) if found.needs_gigabytes else "",
        "Memory": html.escape(costs.memory(found)),
        "Licence": html.escape(found.licence) + pages,
        "A picture": html.escape(costs.seconds(found)),
    }
    told = "".join(f"<div><dt>{name}</dt><dd>{text}</dd></div>" for name, text in facts.items() if text)
    pocket = '<button type="button" data-do="pocket">Use the pocket models</button>' if found.sources else ""
    page = f'<button type="button" onclick="{OPENS}">Open the Models page</button>'
    return (
        f'<div class="easel-note easel-card" role="{role}"><p><b>{html.escape(found.label)}</b> is not on this '
        f"machine. {html.escape(lead)}</p><dl>{told}</dl>{steps(found)}<p>{pocket}{page}</p></div>"
    )


def steps(found: Cost, place: str = "on the Models page", button: bool = False) -> str:
    """What there is to do, as a list; a step that is done is ticked where that can be known. "" for what is ready, and
    where the only step left is a `button` beside it. `place` is where else a download can be begun."""
    if found.state == "ready":
        return ""
    if not found.sources:
        return _listed([("Fetch the repository again with its assets.", False)])
    todo, space = [], zerogpu.on_space() and found.method in catalog.SPECS
    if found.state == "gated":
        pages = ", ".join(link(source) for source in found.gated)
        todo = [(f"Accept the licence on the hub: {pages}", False)]
        kind = ", as a secret of this Space" if space else ""
        todo.append((f"Set <code>HF_TOKEN</code> to a token of yours that may read{kind}", fetching.has_token()))
    if space:
        named = f"<code>{zerogpu.PRELOAD}={found.verb}/{found.preset}</code>"
        todo.append((f"The owner of this Space names them in a variable of it: {named}", False))
        return _listed(todo)
    if found.own:
        todo.append((f"<code>python app.py {html.escape(found.made_by)}</code>: a checkpoint of your own", False))
    if button and not todo:
        return ""
    elsewhere = f", or {place}" if place else ""
    todo.append((f"<code>python app.py {command(found)}</code>{elsewhere}", False))
    return _listed(todo)


def command(found: Cost) -> str:
    """The verb of the command line that fetches a preset."""
    which = "" if found.preset == "full" else f" --preset {found.preset}"
    return f"models download {found.verb if found.verb != 'segment' else found.method}{which}"


def link(source: str) -> str:
    """A hub repository as a link to its page."""
    return f'<a href="{costs.page_of(source)}" target="_blank" rel="noopener">{html.escape(source)}</a>'


def _listed(todo: list[tuple[str, bool]]) -> str:
    items = [f'<li class="done">{text} <i>(done)</i></li>' if done else f"<li>{text}</li>" for text, done in todo]
    return f"<ol>{''.join(items)}</ol>"
