"""Sphinx configuration.  Build with ``sphinx-build -W --keep-going docs build/docs``."""

from __future__ import annotations

import pkgutil
import re
import sys
from importlib.metadata import files
from importlib.util import find_spec
from pathlib import Path

import qnsolve

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))

project = "qnsolve"
copyright = "the qnsolve developers"
version = release = qnsolve.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "numpydoc",
    "myst_parser",
    "sphinx_gallery.gen_gallery",
    "sphinx_design",
]
exclude_patterns = [
    "_build",
    "gallery/*.ipynb",
    "teaching/*.ipynb",
    "gallery/*.py",
    "teaching/*.py",
]
# A reference that leads nowhere is a warning, and the build turns warnings into errors.
nitpicky = True
# Documentation of other projects is not at hand offline.
nitpick_ignore_regex = [(r"py:.*", r"(scipy|numpy|array_api|matplotlib)\b.*")]

myst_enable_extensions = ["dollarmath", "amsmath", "deflist", "colon_fence"]
myst_heading_anchors = 3

autodoc_mock_imports = [name for name in ("torch", "jax") if find_spec(name) is None]
autodoc_typehints = "none"
autodoc_class_signature = "mixed"
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

html_theme = "pydata_sphinx_theme"
html_title = "qnsolve"
html_static_path = ["_static"]
html_css_files = ["qnsolve.css"]
html_show_sourcelink = False
html_theme_options = {
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "navbar_align": "left",
    "header_links_before_dropdown": 7,
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_sidebars = {"index": [], "get-started": []}

# One file with everything in it, copied below: formulas need no network.
mathjax_path = "mathjax/tex-svg-full.js"
mathjax3_config = {"svg": {"fontCache": "global"}}


sphinx_gallery_conf = {
    "examples_dirs": ["../examples/gallery", "../examples/teaching"],
    "gallery_dirs": ["gallery", "teaching"],
    "filename_pattern": r"/plot_|/teaching/",
    "ignore_pattern": r"^figures\.py$",
    "image_scrapers": ("gallery_figures.figures_of",),
    "reset_modules": (),
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_memory": False,
    # Its pages load scripts from the network.
    "write_computation_times": False,
    "min_reported_time": 10_000,
    "show_signature": False,
    "capture_repr": (),
    "remove_config_comments": True,
    # With it a notebook shows a figure that stands on a line of its own.
    "first_notebook_cell": "%matplotlib inline",
    "within_subsection_order": "FileNameSortKey",
}


def escape_prose(app, what, name, obj, options, lines):
    """Keep |s| and s* in the prose of a docstring from being read as markup."""
    from reference_pages import escape

    formula = None  # indentation of the formula that these lines are part of
    for i, line in enumerate(lines):
        words = line.strip()
        indentation = len(line) - len(line.lstrip())
        if formula is not None and words and indentation <= formula:
            formula = None
        if words.startswith(".. math::"):
            formula = indentation
        if formula is not None or words.startswith((">>>", "...")):
            continue
        # Citations by name serve a whole module; docutils has them for one page only.
        line = re.sub(r"^\.\. (\[[A-Z]+\])", r"- \1", line)
        # `*args` in a list of parameters is numpydoc's to escape.
        lines[i] = line if re.fullmatch(r"\*{1,2}\w+.*", words) else escape(line)


def find_elsewhere(app, env, node, contnode):
    """Resolve names that a docstring writes as its module sees them; nothing invented passes."""
    if node.get("refdomain") != "py":
        return None
    target = node["reftarget"]
    if not re.fullmatch(r"[\w.]+", target):  # part of a default value that is no expression
        return contnode
    inherited = target.replace("CompactMatrix.", "LSR1.")
    domain = env.domains["py"]
    for full in (f"qnsolve.{target}", f"qnsolve.{inherited}", f"qnsolve.presets.{target}"):
        found = domain.resolve_xref(
            env, node["refdoc"], app.builder, node["reftype"], full, node, contnode
        )
        if found is not None:
            return found
    # A module or attribute without a page of its own is shown as it is, if it exists.
    for full in (target, f"qnsolve.{target}", f"qnsolve.presets.{target.split('.')[0]}"):
        if full.startswith("qnsolve.") and exists(full):
            return contnode
    return None


def exists(full):
    try:
        pkgutil.resolve_name(full)
    except (ImportError, AttributeError, ValueError):
        return False
    return True


def copy_mathjax(app, error):
    if error is None and app.builder.format == "html":
        (source,) = (f for f in files("sphinx-mathjax-offline") if f.name == "tex-svg-full.js")
        target = Path(app.outdir, "_static", mathjax_path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_binary())


def setup(app):
    from reference_pages import write_pages

    write_pages(HERE / "reference" / "api")
    # Before numpydoc, which listens with the priority 500.
    app.connect("autodoc-process-docstring", escape_prose, priority=400)
    app.connect("missing-reference", find_elsewhere)
    app.connect("build-finished", copy_mathjax)
