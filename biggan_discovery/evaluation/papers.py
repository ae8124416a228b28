"""Where the papers are that define figures."""

from __future__ import annotations

PAPERS = {
    "Peebles et al. 2020": "https://arxiv.org/abs/2008.10599",
    "Wei et al. 2021": "https://arxiv.org/abs/2108.07668",
    "Zhu et al. 2020": "https://arxiv.org/abs/2007.12885",
    "Voynov & Babenko 2020": "https://arxiv.org/abs/2002.03754",
    "Eastwood & Williams 2018": "https://openreview.net/forum?id=By-7dz-AZ",
    "Chen et al. 2018": "https://arxiv.org/abs/1802.04942",
    "Karras et al. 2019": "https://arxiv.org/abs/1812.04948",
    "Zhang et al. 2018": "https://arxiv.org/abs/1801.03924",
}
"""Addresses by citation; a figure may cite a paper that is not among them."""
