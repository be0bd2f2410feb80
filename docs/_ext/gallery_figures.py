"""Where the gallery takes its figures from."""

from __future__ import annotations

from textwrap import indent

from matplotlib.figure import Figure
from sphinx_gallery.scrapers import figure_rst


def figures_of(block, block_vars, gallery_conf):
    """Save the figures that a block has made; pyplot does not know those of qnsolve.plotting."""
    names = block_vars["example_globals"]
    seen = names.setdefault("__figures__", [])
    paths, titles = [], []
    for value in list(names.values()):
        if isinstance(value, Figure) and not any(value is figure for figure in seen):
            seen.append(value)
            path = next(block_vars["image_path_iterator"])
            value.savefig(path, dpi=150)
            paths.append(path)
            titles += [value.get_suptitle(), *(axes.get_title() for axes in value.axes)]
    # The titles are what is read out in place of the picture.
    rst = figure_rst(paths, gallery_conf["src_dir"], ", ".join(filter(None, titles)))
    # In a box of its own, which scrolls sideways where the screen is narrow.
    return f"\n.. container:: figure\n\n{indent(rst, '   ')}\n\n" if paths else ""
