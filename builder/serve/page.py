"""The page, as HTML: what is shown is escaped here, each piece where it is put in. Pure."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from html import escape

from builder.serve.stages import WORDS, Row, Way

_MARKS = {
    "ahead": "\N{MIDDLE DOT}",
    "running": "\N{BLACK RIGHT-POINTING TRIANGLE}",
    "waiting": "\N{WHITE CIRCLE}",
    "done": "\N{CHECK MARK}",
    "absent": "\N{EN DASH}",
    "refused": "!",
    "failed": "\N{MULTIPLICATION SIGN}",
}
_REFRESH_S = 15


def pair_page(name: str, ways: Sequence[Way], now: float, *, base: str, alone: bool) -> str:
    """Both nodes of a pair side by side; `base` leads to the root of the page's own addresses."""
    places = "".join(f'<li><a href="#{_id(way.node)}">{escape(way.node)}</a></li>' for way in ways)
    up = "" if alone else f'<li><a href="{base}">All pairs</a></li>'
    body = [
        f"<h1>Pair {escape(name)}</h1>",
        f'<nav aria-label="Nodes"><ul>{up}{places}</ul></nav>',
        '<div class="nodes">',
        *(line for way in ways for line in _node(way, now)),
        "</div>",
        *_report(ways),
    ]
    title = f"{name}: " + ", ".join(f"{way.node} {_headline(way)}" for way in ways)
    finished = all(way.complete for way in ways)
    return _document(title, body, base=base, finished=finished)


def overview(pairs: Sequence[tuple[str, str, Sequence[Way]]], now: float) -> str:
    """A table of (pair's id, its name, its nodes' ways), each row leading to the pair's page."""
    rows = [line for pair in pairs for line in _pair_row(*pair, now)]
    body = [
        f"<h1>{len(pairs)} pairs</h1>",
        '<table><thead><tr><th scope="col">Pair</th><th scope="col">Node</th>'
        '<th scope="col">Where it is</th><th scope="col">Stages</th></tr></thead>',
        "<tbody>",
        *rows,
        "</tbody></table>",
    ]
    finished = all(way.complete for *_, ways in pairs for way in ways)
    return _document(f"{len(pairs)} pairs", body, base="", finished=finished)


def _pair_row(pair: str, name: str, ways: Sequence[Way], now: float) -> Iterator[str]:
    for number, way in enumerate(ways):
        link = f'<th scope="rowgroup" rowspan="{len(ways)}"><a href="pair/{escape(pair)}">'
        head = f"{link}{escape(name)}</a></th>" if number == 0 else ""
        anchor = f"{_id(way.node)}_{escape(pair)}"
        yield (
            f'<tr id="{anchor}" class="{_class(way)}" data-live data-say="{_spoken(way)}">{head}'
            f"<td>{escape(way.node)}</td><td>{escape(_headline(way))}{_ago(way, now)}</td>"
            f"<td>{way.passed} of {len(way.rows)}</td></tr>"
        )


def _document(title: str, body: Sequence[str], *, base: str, finished: bool) -> str:
    again = "" if finished else f'<meta http-equiv="refresh" content="{_REFRESH_S}">'
    by_itself = "" if finished else f"This page loads itself anew every {_REFRESH_S} seconds."
    lines = [
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f"<title>{escape(title)}</title>",
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f'<link rel="stylesheet" href="{base}page.css">',
        f'<noscript>{again}</noscript><script src="{base}page.js" defer></script>',
        "</head><body>",
        "<main>",
        *body,
        "</main>",
        '<footer><p id="live" role="status"></p>',
        f"<noscript><p>{by_itself}</p></noscript></footer>",
        "</body></html>",
    ]
    return "\n".join(lines) + "\n"


def _node(way: Way, now: float) -> Iterator[str]:
    anchor, total = _id(way.node), len(way.rows)
    yield f'<section id="{anchor}" aria-labelledby="{anchor}_name">'
    yield f'<h2 id="{anchor}_name">{escape(way.node)}</h2>'
    yield f'<div id="{anchor}_now" class="now {_class(way)}" data-live data-say="{_spoken(way)}">'
    yield f"<p><strong>{escape(_headline(way))}</strong>{_ago(way, now)}</p>"
    yield f'<progress max="{total}" value="{way.passed}" aria-hidden="true"></progress>'
    yield f"<p>{way.passed} of {total} stages behind it</p></div>"
    yield f'<div id="{anchor}_stopped" data-live>'
    for row in way.stopped:
        yield from _problem(row)
    yield "</div><ol>"
    for row in way.rows:
        yield from _row(anchor, row)
    yield "</ol></section>"


def _problem(row: Row) -> Iterator[str]:
    yield f'<div class="problem"><h3>{escape(row.title)}: {WORDS[row.state]}</h3>'
    yield f"<pre>{escape(row.evidence)}</pre>"
    if row.then:
        yield f"<p>Next:</p><pre>{escape(row.then)}</pre>"
    yield "</div>"


def _row(anchor: str, row: Row) -> Iterator[str]:
    mark = f'<span class="mark" aria-hidden="true">{_MARKS[row.state]}</span>'
    yield f'<li id="{anchor}_{row.name}" class="{row.state}" data-live>{mark}'
    yield f'<span class="title">{escape(row.title)}</span> '
    yield f'<span class="state">{WORDS[row.state]}</span>{_when(row)}'
    if row.percent is not None:
        share = f'max="100" value="{row.percent:g}" aria-label="{escape(row.title)}"'
        yield f"<progress {share}>{row.percent:g} %</progress>"
    if row.detail and row.name != "report" and row.detail != WORDS[row.state]:
        yield f'<p class="detail">{escape(row.detail)}</p>'
    yield "</li>"


def _report(ways: Sequence[Way]) -> Iterator[str]:
    """The report, which both nodes have alike: as wide as the page, for it has a column each."""
    found = [row.detail for way in ways for row in way.rows if row.name == "report" and row.detail]
    yield '<div id="report_" data-live>'
    if found:
        yield "<details><summary>Report: what was measured on both nodes</summary>"
        yield f'<pre class="report" tabindex="0">{escape(found[0])}</pre></details>'
    yield "</div>"


def _when(row: Row) -> str:
    if row.since is None:
        return ""
    at = datetime.fromtimestamp(row.since, UTC)
    shown = f'<time datetime="{at:%Y-%m-%dT%H:%M:%SZ}">{at:%H:%M:%S} UTC</time>'
    took = row.since - (row.began or row.since)
    after = f", after {span(took)}" if took >= 1 and row.state == "done" else ""
    return f' <span class="when">{shown}{after}</span>'


def _headline(way: Way) -> str:
    """Where a node is, in a few words."""
    if way.complete:
        return "complete"
    if way.stopped:
        return f"{way.stopped[-1].title}: {WORDS[way.stopped[-1].state]}"
    if way.now is None:
        return "not heard of yet"
    return f"{way.now.title}: {WORDS[way.now.state]}"


def _spoken(way: Way) -> str:
    return escape(f"{way.node}: {_headline(way)}")


def _class(way: Way) -> str:
    if way.stopped:
        return "stopped"
    return "complete" if way.complete else "going"


def _ago(way: Way, now: float) -> str:
    if way.heard is None or way.complete:
        return ""
    return f' <span class="when">heard {span(max(0.0, now - way.heard))} ago</span>'


def _id(node: str) -> str:
    """A node's name as an anchor. No host name can hold a _, so what follows one is ours."""
    return f"node_{escape(node)}"


def span(seconds: float) -> str:
    """How long, in the largest unit that tells it."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
