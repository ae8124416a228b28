"""What pages may ask for."""

from __future__ import annotations

from typing import Any

import pytest

from biggan_discovery.errors import UserError
from biggan_discovery.explorer.view import View
from biggan_discovery.rendering import Edit


def test_a_view_is_read() -> None:
    fields: dict[str, Any] = {"seed": 3, "pick": [4, 2, 4], "classes": [[1, 0.25], [0, 0.75], [2, 0]]}
    view = View.read(
        {**fields, "truncation": 0.5, "latents": "0123456789abcdef", "edits": [[3, -2, "mid"], [0, 1, None]]}
    )
    assert view == View(
        3, (4, 2), ((1, 0.25), (0, 0.75)), 0.5, "0123456789abcdef", (Edit(3, -2.0, "mid"), Edit(0, 1.0, None))
    )
    assert view.class_text == "1:0.25, 0:0.75"
    assert view.unedited.edits == ()
    assert View.read({}) == View()
    assert View.read({"classes": [[3, 0.2]]}).class_text == "3"


@pytest.mark.parametrize(
    ("view", "said"),
    [
        (None, "object"),
        ({"speed": 1}, "'speed'"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 1.5}, "seed is 1.5"),
        ({"seed": True}, "seed is True"),
        ({"seed": 2**70}, "seed is 11805916207"),
        ({"pick": []}, "pick"),
        ({"pick": ["1"]}, "pick"),
        ({"pick": [10_000]}, "0 to 9999"),
        ({"pick": list(range(65))}, "1 to 64 items"),
        ({"classes": [[0]]}, "classes"),
        ({"classes": [[0, float("nan")]]}, "classes"),
        ({"classes": [[0, -1.0]]}, "at least 0"),
        ({"classes": [[0, 0.0]]}, "weights of all classes are 0"),
        ({"classes": [[0, 1.0], [0, 2.0]]}, "one for each class"),
        ({"truncation": 0}, "truncation is 0"),
        ({"truncation": 2}, "truncation is 2"),
        ({"latents": "../../etc/passwd"}, "latents"),
        ({"edits": [[0, 1]]}, "an edit"),
        ({"edits": [[0, float("inf"), None]]}, "finite"),
        ({"edits": [["0", 1, None]]}, "number"),
        ({"edits": [[0, 1, 3]]}, "layers"),
        ({"edits": [[0, 1, None], [0, 2, None]]}, "set twice"),
        ({"edits": [[0, 1, None]] * 65}, "0 to 64 items"),
    ],
)
def test_what_is_wrong_is_said(view: Any, said: str) -> None:
    with pytest.raises(UserError, match=said):
        View.read(view)
