"""The explorer's editor as a widget in notebooks: Jupyter, Colab, VS Code."""

from __future__ import annotations

import functools
import json
import os
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from biggan_discovery.directions import Directions
from biggan_discovery.directions.defaults import open_directions
from biggan_discovery.errors import UserError
from biggan_discovery.explorer.about import about, marks
from biggan_discovery.explorer.app import STATIC
from biggan_discovery.explorer.pictures import draw
from biggan_discovery.explorer.sources import Shown, change_mark, mark_of
from biggan_discovery.explorer.view import View
from biggan_discovery.generators import FrozenGenerator

if TYPE_CHECKING:
    from anywidget import AnyWidget

_MOST_SLIDERS = 6  # at first
_MAIN = "widget.js"
_OUTSIDE = """
<div id="notice" role="status" aria-live="polite"></div>
<dialog id="dialog" aria-labelledby="dialog-title"></dialog>
"""
_STYLE = """
:host { display: block; background: var(--ground); color: var(--text); border-radius: var(--round); }
main { padding: .8rem; }
#stage { top: .8rem; }
"""
_IMPORT = re.compile(r'^import (\{[^}]*\}) from "\./([\w-]+\.js)";$', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:class|function|const) (\w+))", re.MULTILINE)


class Sliders:
    """Sliders for directions in a notebook: what the page of `explore` has as its editor.

    Names, notes, stars and ranges that are given there change `directions`, which `Directions.save` keeps. While a
    slider is dragged, the newest position is drawn and positions in between are left out.

    Attributes:
        directions: the directions.
        widget: the widget, to put it beside others.

    Args:
        generator: a frozen generator, or anything that `load_generator` accepts. None for the generator that
            `directions` name.
        directions: the directions, or their file.
        only: indices of the directions that have a slider at first. Defaults to the first six that are not hidden.
        samples: number of samples side by side, 1 to 16.
        seed: random seed of the samples.

    Raises:
        UserError: anywidget is not installed, an index or number that does not exist, or a generator that does not fit.

    Example:
        >>> sliders = Sliders(None, "scenes-64", only=[0, 1], samples=2)
        >>> sliders  # as the last line of a cell, shows them
        >>> edit(None, sliders.directions, sliders.edits, "edit.mp4")  # what was set by hand
    """

    def __init__(
        self,
        generator: FrozenGenerator | str | os.PathLike[str] | None,
        directions: Directions | str | os.PathLike[str],
        *,
        only: Sequence[int] | None = None,
        samples: int = 2,
        seed: int = 0,
    ):
        network, self.directions = open_directions(generator, directions)
        if only is None:
            only = [row for row, hidden in enumerate(self.directions.hidden) if not hidden][:_MOST_SLIDERS]
        for row in only:
            self.directions.row(row)
        if isinstance(samples, bool) or not isinstance(samples, int) or not 1 <= samples <= 16:
            raise UserError(f"samples is {samples!r}; it should be an integer from 1 to 16")
        view = {"seed": seed, "pick": list(range(samples)), "edits": [[row, 0.0, None] for row in only]}
        View.read(view)
        self._shown = Shown(self.directions, "directions", lambda *_: network)
        self.widget = _widget(about(self._shown), {**view, "classes": [], "truncation": None, "latents": ""})
        self.widget.on_msg(self._hear)

    @property
    def edits(self) -> dict[int, float]:
        """The amounts that are set now, by direction; as `edit` takes them."""
        view = View.read(self.widget.view)  # pyright: ignore[reportAttributeAccessIssue]
        return {int(each.direction): each.amount for each in view.edits if each.amount}

    def __repr__(self) -> str:
        return f"Sliders({self.directions!r})"

    def _repr_mimebundle_(self, **options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        data, about_data = self.widget._repr_mimebundle_(**options) or ({}, {})
        return {**data, "text/plain": repr(self)}, about_data

    def _hear(self, _: AnyWidget, message: Any, __: object) -> None:
        """Answer a message of the page; what goes wrong becomes the answer, as nobody sees errors in a callback."""
        try:
            answer, buffers = self._answer(message)
        except UserError as error:
            answer, buffers = {"error": str(error)}, []
        except Exception as error:
            answer, buffers = {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}, []
        self.widget.send({"id": message.get("id") if isinstance(message, dict) else None, **answer}, buffers)

    def _answer(self, message: Any) -> tuple[Mapping[str, Any], list[bytes]]:
        kind = message.get("type") if isinstance(message, dict) else None
        if kind == "draw":
            drawn = draw(
                self._shown, View.read(message.get("view")), draft=bool(message.get("draft")), side=message.get("side")
            )
            count, height, width = drawn.pixels.shape[:3]
            answer = {"count": count, "height": height, "width": width, "numbers": drawn.numbers, "names": drawn.names}
            return answer, [drawn.pixels.tobytes()]
        if kind == "mark":
            row, key = int(message["direction"]), str(message.get("key"))
            change_mark(self.directions, row, key, message.get("value"))
            self.widget.about = {**self.widget.about, **marks(self._shown)}  # pyright: ignore
            return {"done": True, "now": mark_of(self.directions, row)[key]}, []
        raise UserError(f"no message {ascii(kind)[:40]}; there are draw and mark")


def _widget(content: dict[str, Any], start: dict[str, Any]) -> AnyWidget:
    try:
        import anywidget
        import traitlets
    except ImportError as error:
        raise UserError("sliders in notebooks need anywidget; pip install anywidget") from error

    class SlidersWidget(anywidget.AnyWidget):
        _esm = front_end()
        about = traitlets.Dict(content).tag(sync=True)
        view = traitlets.Dict(start).tag(sync=True)

    return SlidersWidget()


@functools.cache
def front_end() -> str:
    """The widget as one ES module, which is all that notebooks load: the page's modules, markup and style."""
    page = (STATIC / "index.html").read_text(encoding="utf-8")
    [editor] = re.findall(r'^  <section id="editor".*?^  </section>$', page, re.MULTILINE | re.DOTALL)
    own = {
        "page": f"<main>{editor}</main>{_OUTSIDE}",
        "style": (STATIC / "style.css").read_text(encoding="utf-8").replace(":root", ":host") + _STYLE,
    }
    modules: dict[str, str] = {}
    _add_module(_MAIN, modules)
    # Each view has the modules to itself, as they look for elements in one place.
    return f"""const own = {json.dumps(own)};
const load = () => {{
const modules = {{}};
{"".join(modules.values())}
return modules["{_MAIN}"];
}};
export default {{ render: (context) => load().render(context, own) }};
"""


def _add_module(name: str, modules: dict[str, str]) -> None:
    """Add a module, behind those that it imports, as a function that returns its exports."""
    if name in modules:
        return
    text = (STATIC / name).read_text(encoding="utf-8")
    for _, imported in _IMPORT.findall(text):
        _add_module(imported, modules)
    exports = ", ".join(_EXPORT.findall(text))
    text = _EXPORT.sub("", _IMPORT.sub(r'const \1 = modules["\2"];', text))
    modules[name] = f'modules["{name}"] = (() => {{\n{text}\nreturn {{ {exports} }};\n}})();\n'
