"""The frame of every hosted page: one stylesheet, no script, everything escaped."""

from html import escape

from starlette.responses import HTMLResponse

from gatekeeper.testing.stripe.core.errors import ApiError

_STYLE = """
:root { color-scheme: light dark; --ink: #1a1f36; --soft: #697386; --line: #d8dee8; --back: #f6f8fb;
  --card: #fff; --accent: #0a5bd3; --bad: #b3093c; --good: #0b6e4f }
@media (prefers-color-scheme: dark) { :root { --ink: #e8ecf4; --soft: #a3acbd; --line: #3a4256;
  --back: #12151d; --card: #1b202b; --accent: #5b9bff; --bad: #ff7a99; --good: #4fd1a5 } }
* { box-sizing: border-box }
body { margin: 0; font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--back) }
main { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; display: grid; gap: 1.5rem;
  align-items: start;
  grid-template-columns: repeat(auto-fit, minmax(18rem, 1fr)) }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: 1.5rem }
h1 { font-size: 1.1rem; margin: 0 0 1rem } h2 { font-size: 1rem; margin: 0 0 .75rem }
.total { font-size: 2rem; font-weight: 600; margin: .25rem 0 1rem }
table { width: 100%; border-collapse: collapse } td, th { padding: .5rem 0; text-align: left;
  border-bottom: 1px solid var(--line); vertical-align: top }
td:last-child, th:last-child { text-align: right }
label { display: block; font-size: .875rem; margin: .75rem 0 .25rem }
input[type=text], input[type=email], select { width: 100%; padding: .6rem .7rem; font: inherit;
  color: inherit; background: transparent; border: 1px solid var(--line); border-radius: 6px }
input:focus-visible, button:focus-visible, a:focus-visible { outline: 2px solid var(--accent);
  outline-offset: 2px }
fieldset { border: 0; padding: 0; margin: 1rem 0 0 } legend { font-weight: 600; padding: 0 }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: .75rem }
.choice { display: flex; gap: .5rem; align-items: center; margin: .5rem 0 }
.choice input, .choice label { margin: 0 }
button { width: 100%; margin-top: 1.25rem; padding: .75rem; font: inherit; font-weight: 600;
  color: #fff; background: var(--accent); border: 0; border-radius: 6px; cursor: pointer }
@media (prefers-color-scheme: dark) { button { color: #0b1220 } }
button.quiet { color: var(--ink); background: transparent; border: 1px solid var(--line) }
.soft { color: var(--soft); font-size: .875rem }
.alert { color: var(--bad); border: 1px solid var(--bad); border-radius: 6px; padding: .6rem .8rem;
  margin: 0 0 1rem }
.good { color: var(--good) } a { color: var(--accent) }
.banner { background: #7a4b00; color: #fff; text-align: center; font-size: .875rem; padding: .3rem }
code { font-size: .8125rem } details { margin-top: 1rem }
"""


def page(title: str, *sections: str, status: int = 200) -> HTMLResponse:
    """A whole page; the sections are HTML already."""
    body = "\n".join(f"<section>{section}</section>" for section in sections)
    return HTMLResponse(
        f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{escape(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<div class="banner">Simulated payments. No money moves here.</div>
<main>
{body}
</main>
</body>
</html>
""",
        status,
        headers={"cache-control": "no-store"},
    )


def field(
    name: str, label: str, value: str = "", *, type: str = "text", hint: str = "", mode: str = ""
) -> str:
    """A labelled input."""
    extra = f' placeholder="{escape(hint)}"' if hint else ""
    extra += f' inputmode="{mode}"' if mode else ""
    return (
        f'<label for="{name}">{escape(label)}</label>'
        f'<input id="{name}" name="{name}" type="{type}" value="{escape(value)}"{extra}>'
    )


def alert(error: ApiError | None) -> str:
    """What went wrong, announced to screen readers; nothing if nothing did."""
    return f'<p class="alert" role="alert">{escape(error.message)}</p>' if error else ""
